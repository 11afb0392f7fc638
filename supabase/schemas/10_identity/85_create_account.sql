create or replace function private.create_account(p_email text, p_profile jsonb default '{}')
returns uuid
language plpgsql
security invoker
set search_path = ''
as $$
declare
  account uuid;
begin
  -- The trigger on auth.users makes the profile, always as a client.
  insert into auth.users (id, aud, role, email, raw_app_meta_data, raw_user_meta_data, created_at, updated_at)
  values (
    gen_random_uuid(), 'authenticated', 'authenticated', lower(p_email),
    '{"provider": "loom", "providers": ["loom"]}', p_profile, now(), now()
  )
  returning id into account;
  return account;
end;
$$;
comment on function private.create_account(text, jsonb) is
  'An account of Loom''s own issuer with its profile; the caller''s own right to auth.users decides whether it may.';
revoke execute on function private.create_account(text, jsonb) from public, anon, authenticated, service_role;
grant execute on function private.create_account(text, jsonb) to service_role;
