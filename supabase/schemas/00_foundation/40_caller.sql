create or replace function private.acting_as_api()
returns boolean
language sql
stable
security invoker
set search_path = ''
as $$
  -- SET ROLE survives into security definer functions as the setting "role", where current_user does not. A login
  -- straight as an API role has never set it, so then the session user decides.
  select case current_setting('role', true)
    when 'none' then session_user in ('anon', 'authenticated')
    else coalesce(current_setting('role', true) in ('anon', 'authenticated'), false)
  end
$$;
comment on function private.acting_as_api() is
  'True when the request runs as anon or authenticated. Owner, service role and imports are held to constraints, not to booking rules.';
revoke execute on function private.acting_as_api() from public, anon, authenticated, service_role;
grant execute on function private.acting_as_api() to anon, authenticated, service_role;

create or replace function private.token_subject()
returns uuid
language plpgsql
stable
security invoker
set search_path = ''
as $$
declare
  v_sub text := nullif(current_setting('request.jwt.claims', true), '')::jsonb ->> 'sub';
begin
  -- A subject that is not a uuid belongs to nobody here; it must not become a cast error in every policy.
  if v_sub ~ '^[0-9a-fA-F]{8}-[0-9a-fA-F]{4}-[0-9a-fA-F]{4}-[0-9a-fA-F]{4}-[0-9a-fA-F]{12}$' then
    return v_sub::uuid;
  end if;
  return null;
end;
$$;
comment on function private.token_subject() is
  'The sub of the verified token, whether or not such a user exists. No other claim is ever trusted.';
revoke execute on function private.token_subject() from public, anon, authenticated, service_role;
grant execute on function private.token_subject() to anon, authenticated, service_role;
