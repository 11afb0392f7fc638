do $$
declare
  item record;
begin
  for item in
    select p.oid::regprocedure as signature from pg_proc as p
    where p.pronamespace = 'private'::regnamespace and starts_with(p.proname, 'adoption_')
  loop
    execute format('drop function %s', item.signature);
  end loop;
  drop table if exists private.adoption_touched, private.adoption_touched_money;
  alter table public.payments drop column if exists loom_status;
end;
$$;
