create or replace function private.mail_key(p_delivery_id uuid)
returns text
language plpgsql
stable
security definer
set search_path = ''
as $$
declare
  v_key bytea := (select l.key from private.live_log as l);
  v_said bytea := convert_to(concat_ws(' ', 'mail', p_delivery_id), 'UTF8');
begin
  -- The same for each try, so that a repeated mail carries the same Message-ID.
  return concat_ws('.', p_delivery_id, left(encode(sha256(v_key || sha256(v_key || v_said)), 'hex'), 32));
end;
$$;
comment on function private.mail_key(uuid) is
  'security definer: reads the installation''s key. What the Message-ID of a delivery''s mail begins with: its id, which the sender may read, and a seal, which only the mail carries.';
revoke execute on function private.mail_key(uuid) from public, anon, authenticated, service_role;
grant execute on function private.mail_key(uuid) to service_role;

create or replace function private.record_bounce(
  p_mail_key text, p_address text, p_permanent boolean, p_detail text
)
returns text
language plpgsql
security definer
set search_path = ''
as $$
declare
  v_delivery_id uuid := (regexp_match(p_mail_key, '^([0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12})\.'))[1];
  v_recipient_id uuid;
begin
  -- Anybody can write a report. What it must name is known to the mail's reader and the servers on its way only; the id alone
  -- is not, since senders read it.
  if v_delivery_id is null or p_mail_key is distinct from private.mail_key(v_delivery_id) then
    return 'unknown';
  end if;
  -- It is a mail about messages, or a notice.
  select d.recipient_id into v_recipient_id
  from public.message_deliveries as d
  where d.mail_id = v_delivery_id
  limit 1;
  if not found then
    select d.user_id into v_recipient_id
    from public.notification_deliveries as d
    where d.id = v_delivery_id and d.channel = 'email';
  end if;
  if not found then
    return 'unknown';
  end if;
  if not p_permanent then
    return 'delayed';
  end if;
  update public.message_deliveries as d
  set state = 'failed', reason = 'bounced', error_message = left(p_detail, 500), sent_at = null
  where d.mail_id = v_delivery_id and d.state = 'sent';
  update public.notification_deliveries as d
  set state = 'failed', reason = 'bounced', error_message = left(p_detail, 500), sent_at = null
  where d.id = v_delivery_id and d.channel = 'email' and d.state = 'sent';
  -- And of addresses it can only say something about the one that the mail went to.
  if exists (select from public.users as u where u.id = v_recipient_id and lower(u.email) = lower(btrim(p_address))) then
    perform private.suppress_address(p_address, 'bounced', p_detail, v_delivery_id);
  end if;
  return 'bounced';
end;
$$;
comment on function private.record_bounce(text, text, boolean, text) is
  'security definer: writes deliveries and suppressions. A report that a mail came back: unknown, delayed (nothing is done) or bounced.';
revoke execute on function private.record_bounce(text, text, boolean, text) from public, anon, authenticated, service_role;
grant execute on function private.record_bounce(text, text, boolean, text) to service_role;
