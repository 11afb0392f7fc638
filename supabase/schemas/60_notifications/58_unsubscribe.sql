-- A link in each mail that switches its kind off, without signing in (RFC 8058). Nothing is stored for it: it is sealed with the
-- installation's key, and says no more than whose mail about what.

create or replace function private.unsubscribe_token(p_user_id uuid, p_topic text)
returns text
language plpgsql
stable
security definer
set search_path = ''
as $$
declare
  v_key bytea := (select l.key from private.live_log as l);
  v_said bytea := convert_to(concat_ws(' ', 'unsubscribe', p_user_id, p_topic), 'UTF8');
begin
  return concat_ws('.', p_user_id, p_topic, encode(sha256(v_key || sha256(v_key || v_said)), 'hex'));
end;
$$;
comment on function private.unsubscribe_token(uuid, text) is
  'security definer: reads the installation''s key. What an unsubscribe link of a person carries for a topic.';
revoke execute on function private.unsubscribe_token(uuid, text) from public, anon, authenticated, service_role;
grant execute on function private.unsubscribe_token(uuid, text) to service_role;

create or replace function public.unsubscribe_by_link(p_token text)
returns text
language plpgsql
volatile
security definer
set search_path = ''
as $$
declare
  v_parts text[] := regexp_match(
    p_token, '^([0-9a-f-]{36})\.(messages|session_reminders|session_updates|payments|system_updates)\.[0-9a-f]{64}$');
begin
  if v_parts is null or p_token is distinct from private.unsubscribe_token(v_parts[1]::uuid, v_parts[2]) then
    perform private.fail(404, 'not_found', 'Not found.');
  end if;
  if v_parts[2] = 'payments' then
    insert into public.notification_choices as c (user_id, email_payments)
    select u.id, false from public.users as u where u.id = v_parts[1]::uuid
    on conflict (user_id) do update set email_payments = false;
  else
    update public.notification_preferences as n
    set
      email_messages = n.email_messages and v_parts[2] <> 'messages',
      email_session_reminders = n.email_session_reminders and v_parts[2] <> 'session_reminders',
      email_session_updates = n.email_session_updates and v_parts[2] <> 'session_updates',
      email_system_updates = n.email_system_updates and v_parts[2] <> 'system_updates'
    where n.user_id = v_parts[1]::uuid;
  end if;
  return v_parts[2];
end;
$$;
comment on function public.unsubscribe_by_link(text) is
  'security definer: whoever holds the token is not signed in. Switches mail about the token''s topic off for its person; again changes nothing. It can do nothing else.';
revoke execute on function public.unsubscribe_by_link(text) from public, anon, authenticated, service_role;
grant execute on function public.unsubscribe_by_link(text) to anon, authenticated;
