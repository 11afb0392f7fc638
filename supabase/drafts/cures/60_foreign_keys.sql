-- Deleting a row looks at every table that points to it. An index that leads with the key makes that a look-up; one limited to keys
-- that are set will do.
do $$
declare
-- @include beside_tables
  item record;
begin
  for item in
-- @include missing_key_indexes
  loop
    execute format('create index if not exists %I on %s (%I)', format('%s_%s_fk', item.relname, item.attname), item.tbl, item.attname);
  end loop;
end;
$$;
