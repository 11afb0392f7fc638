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
  -- One ALTER, and so one scan of the table, for all of them. The name is what stands before the first space.
  select string_agg('add constraint ' || wanted.text, ', ' order by wanted.place) into v_missing
  from unnest(p_constraints) with ordinality as wanted (text, place)
  where not exists (
    select from pg_catalog.pg_constraint as c where c.conrelid = p_table and c.conname = split_part(wanted.text, ' ', 1)
  );
  if v_missing is not null then
    execute format('alter table %s %s', p_table, v_missing);
  end if;
end;
$$;
comment on function private.ensure_constraints(regclass, text[]) is
  'Adds those of the constraints, each written as "name definition", that the table does not have yet. For migrations.';
revoke execute on function private.ensure_constraints(regclass, text[]) from public, anon, authenticated, service_role;
