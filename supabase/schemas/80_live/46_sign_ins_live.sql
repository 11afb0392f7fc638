create or replace function private.auth_sessions_live()
returns trigger
language plpgsql
security definer
set search_path = ''
as $$
begin
  insert into public.live_events (kind, scope, user_id, detail)
  values ('sign_in.ended', 'person', new.user_id, jsonb_build_object('sign_in_id', new.id));
  return null;
end;
$$;
comment on function private.auth_sessions_live() is
  'security definer: nobody may write the log. Trigger: a sign-in that was ended is news to its person, and ends the streams that were opened with it.';
revoke execute on function private.auth_sessions_live() from public, anon, authenticated, service_role;

drop trigger if exists auth_sessions_live on private.auth_sessions;
create trigger auth_sessions_live after update of revoked_at on private.auth_sessions
for each row when (old.revoked_at is null and new.revoked_at is not null)
execute function private.auth_sessions_live();

create or replace function private.my_sign_in_ended(p_sign_in_id uuid)
returns boolean
language sql
stable
security definer
set search_path = ''
as $$
  -- One that is not known here (another issuer's) has not been ended here.
  select exists (
    select
    from private.auth_sessions as s
    where s.id = p_sign_in_id and s.user_id = private.token_subject() and s.revoked_at is not null
  )
$$;
comment on function private.my_sign_in_ended(uuid) is
  'security definer: reads sign-ins, which API roles may not. Whether the caller has ended this sign-in of theirs, or had it ended.';
revoke execute on function private.my_sign_in_ended(uuid) from public, anon, authenticated, service_role;
grant execute on function private.my_sign_in_ended(uuid) to authenticated;
