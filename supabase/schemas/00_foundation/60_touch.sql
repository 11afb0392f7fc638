create or replace function private.touch_updated_at()
returns trigger
language plpgsql
security invoker
set search_path = ''
as $$
begin
  new.updated_at := pg_catalog.now();
  return new;
end;
$$;
comment on function private.touch_updated_at() is 'Trigger: keeps updated_at, whatever the statement says.';
revoke execute on function private.touch_updated_at() from public, anon, authenticated, service_role;
