create or replace function private.keep_an_admin(p_user_id uuid)
returns void
language plpgsql
security definer
set search_path = ''
as $$
begin
  -- Locking all admins makes two admins who demote each other at once wait for one another.
  perform u.id from public.users as u where u.role = 'admin' and u.status = 'active' order by u.id for update;
  if not exists (
    select from public.users as u where u.role = 'admin' and u.status = 'active' and u.id <> p_user_id
  ) then
    perform private.fail(409, 'last_admin', 'This is the last active admin.', 'Make somebody else an admin first.');
  end if;
end;
$$;
comment on function private.keep_an_admin(uuid) is
  'security definer: called inside set_user_role and set_user_status. Refuses to lose the last active admin.';
revoke execute on function private.keep_an_admin(uuid) from public, anon, authenticated, service_role;

create or replace function public.set_user_role(p_user_id uuid, p_role public.user_role, p_reason text default null)
returns void
language plpgsql
security definer
set search_path = ''
as $$
declare
  before public.user_role;
begin
  if private.acting_as_api() and not private.i_am_admin() then
    perform private.fail(404, 'not_found', 'There is no such thing, or it is not yours.');
  end if;
  select u.role into before from public.users as u where u.id = p_user_id;
  if not found then
    perform private.fail(404, 'not_found', 'There is no such thing, or it is not yours.');
  end if;
  if before = p_role then
    return;
  end if;
  if before = 'admin' then
    perform private.keep_an_admin(p_user_id);
  end if;
  update public.users set role = p_role where id = p_user_id;
  insert into private.identity_events (user_id, actor_id, event, details)
  values (p_user_id, private.me(), 'role_changed', jsonb_build_object('from', before, 'to', p_role, 'reason', p_reason));
end;
$$;
comment on function public.set_user_role(uuid, public.user_role, text) is
  'security definer: nobody holds an update grant on users.role. An admin, or the service role, gives a person another role; kept in the audit.';
revoke execute on function public.set_user_role(uuid, public.user_role, text) from public, anon, authenticated, service_role;
grant execute on function public.set_user_role(uuid, public.user_role, text) to authenticated, service_role;

create or replace function public.set_user_status(p_user_id uuid, p_status public.user_status, p_reason text default null)
returns void
language plpgsql
security definer
set search_path = ''
as $$
declare
  before public.user_status;
  its_role public.user_role;
begin
  if private.acting_as_api() and not private.i_am_admin() then
    perform private.fail(404, 'not_found', 'There is no such thing, or it is not yours.');
  end if;
  select u.status, u.role into before, its_role from public.users as u where u.id = p_user_id;
  if not found then
    perform private.fail(404, 'not_found', 'There is no such thing, or it is not yours.');
  end if;
  if before = p_status then
    return;
  end if;
  if its_role = 'admin' and before = 'active' then
    perform private.keep_an_admin(p_user_id);
  end if;
  update public.users set status = p_status where id = p_user_id;
  if p_status <> 'active' then
    update private.auth_sessions set revoked_at = now(), revoked_reason = 'status_' || p_status
    where user_id = p_user_id and revoked_at is null;
  end if;
  insert into private.identity_events (user_id, actor_id, event, details)
  values (p_user_id, private.me(), 'status_changed', jsonb_build_object('from', before, 'to', p_status, 'reason', p_reason));
end;
$$;
comment on function public.set_user_status(uuid, public.user_status, text) is
  'security definer: nobody holds an update grant on users.status. An admin, or the service role, suspends or restores a person; kept in the audit.';
revoke execute on function public.set_user_status(uuid, public.user_status, text) from public, anon, authenticated, service_role;
grant execute on function public.set_user_status(uuid, public.user_status, text) to authenticated, service_role;
