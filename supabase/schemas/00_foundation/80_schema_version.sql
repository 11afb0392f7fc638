create or replace function private.schema_version()
returns text
language plpgsql
stable
security definer
set search_path = ''
as $$
begin
  if to_regclass('supabase_migrations.schema_migrations') is null then
    return null;
  end if;
  return (select max(m.version) from supabase_migrations.schema_migrations as m);
end;
$$;
comment on function private.schema_version() is
  'security definer: API roles may not read the bookkeeping of migrations. The newest migration applied, or null.';
revoke execute on function private.schema_version() from public, anon, authenticated, service_role;
grant execute on function private.schema_version() to service_role;
