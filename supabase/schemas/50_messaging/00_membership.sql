-- Who may read and write which conversation, as arrays that a statement computes once. In plpgsql, since its plans stay
-- with the connection and since the tables come after it.

create or replace function private.my_conversation_ids()
returns uuid[]
language plpgsql
stable
security definer
set search_path = ''
as $$
begin
  return coalesce(
    (
      select array_agg(p.conversation_id)
      from public.conversation_participants as p
      where p.user_id = (select private.me()) and p.left_at is null
    ),
    '{}');
end;
$$;
comment on function private.my_conversation_ids() is
  'security definer: the policy of participants itself depends on it. The conversations in which the active user takes part now.';
revoke execute on function private.my_conversation_ids() from public, anon, authenticated, service_role;
grant execute on function private.my_conversation_ids() to authenticated, service_role;

create or replace function private.i_take_part(p_conversation_id uuid)
returns boolean
language plpgsql
stable
security definer
set search_path = ''
as $$
begin
  return exists (
    select
    from public.conversation_participants as p
    where p.conversation_id = p_conversation_id and p.user_id = (select private.me()) and p.left_at is null
  );
end;
$$;
comment on function private.i_take_part(uuid) is
  'security definer: reads participants past their policy. private.my_conversation_ids asked about one: for functions that write to it, since a coach has hundreds.';
revoke execute on function private.i_take_part(uuid) from public, anon, authenticated, service_role;
grant execute on function private.i_take_part(uuid) to authenticated, service_role;

create or replace function private.my_readable_conversation_ids()
returns uuid[]
language plpgsql
stable
security definer
set search_path = ''
as $$
declare
  v_me uuid := private.token_subject();
begin
  -- An array for admins too: "or i_am_admin()" in a policy would cost everybody else the index.
  return coalesce(
    (select array_agg(r.conversation_id) from private.conversation_readers as r where r.user_id = v_me), '{}');
end;
$$;
comment on function private.my_readable_conversation_ids() is
  'security definer: the policies of conversations depend on it. The conversations the active user may read: their own; for an admin, all.';
revoke execute on function private.my_readable_conversation_ids() from public, anon, authenticated, service_role;
grant execute on function private.my_readable_conversation_ids() to authenticated, service_role;

create or replace function private.my_led_conversation_ids()
returns uuid[]
language plpgsql
stable
security definer
set search_path = ''
as $$
begin
  return coalesce(
    (
      select array_agg(p.conversation_id)
      from public.conversation_participants as p
      where p.user_id = (select private.me()) and p.left_at is null and p.role in ('coach', 'admin')
    ),
    '{}');
end;
$$;
comment on function private.my_led_conversation_ids() is
  'security definer: the policies of conversations depend on it. The conversations in which the active user takes part as coach or admin.';
revoke execute on function private.my_led_conversation_ids() from public, anon, authenticated, service_role;
grant execute on function private.my_led_conversation_ids() to authenticated, service_role;

create or replace function private.my_history_limits()
returns jsonb
language plpgsql
stable
security definer
set search_path = ''
as $$
declare
  v_me uuid := private.token_subject();
begin
  -- The rule of private.conversation_readers without its look at the person: who is not active reads no conversation, whatever
  -- its limit. Nearly nobody has any, so an index of those few rows answers at once.
  return coalesce(
    (
      select jsonb_object_agg(p.conversation_id, p.history_from_seq)
      from public.conversation_participants as p
      where p.user_id = v_me and p.left_at is null and p.history_from_seq > 1
    ),
    '{}');
end;
$$;
comment on function private.my_history_limits() is
  'security definer: the policies of messages depend on it. For conversations joined later, the first seq that the active user may read.';
revoke execute on function private.my_history_limits() from public, anon, authenticated, service_role;
grant execute on function private.my_history_limits() to authenticated, service_role;
