-- Tables of an older application get Loom's constraints when it takes over. Each is asked for on its own, since one that was
-- added and validated beforehand, without holding anybody up, must not be scanned for again.
create or replace function private.ensure_constraints(p_table regclass, variadic p_constraints text[])
returns void
language plpgsql
security invoker
set search_path = ''
as $$
declare
  v_missing text;
begin
  -- One ALTER, and so one scan of the table, for all of them. The name is what stands before the first space. One that somebody
  -- was stopped from validating is validated now, unless it is meant for new rows alone.
  select string_agg(
    case when c.oid is null then 'add constraint ' || wanted.text else format('validate constraint %I', c.conname) end,
    ', ' order by wanted.place)
  into v_missing
  from unnest(p_constraints) with ordinality as wanted (text, place)
  left join pg_catalog.pg_constraint as c on c.conrelid = p_table and c.conname = split_part(wanted.text, ' ', 1)
  where c.oid is null or (not c.convalidated and wanted.text not like '% not valid');
  if v_missing is not null then
    execute format('alter table %s %s', p_table, v_missing);
  end if;
end;
$$;
comment on function private.ensure_constraints(regclass, text[]) is
  'Adds those of the constraints, each written as "name definition", that the table does not have yet, and validates those that it has. For migrations.';
revoke execute on function private.ensure_constraints(regclass, text[]) from public, anon, authenticated, service_role;
