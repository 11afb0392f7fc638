-- Each migration of Loom's that changes the schema writes its own version here. The bookkeeping of migrations cannot tell: on
-- a database that Loom took over it holds those of the older application too, some of them later than Loom's.
create or replace function private.schema_version()
returns text
language sql
immutable
security invoker
set search_path = ''
as $$ select '20261123090000' $$;
comment on function private.schema_version() is 'The newest migration of Loom that this database has.';
revoke execute on function private.schema_version() from public, anon, authenticated, service_role;
grant execute on function private.schema_version() to service_role;
