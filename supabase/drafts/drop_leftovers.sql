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
  -- Proofs of a NOT NULL that somebody was stopped from setting; by here it is set.
  for item in
    select c.conrelid::regclass as name, c.conname
    from pg_constraint as c
    where c.connamespace = 'public'::regnamespace and c.contype = 'c' and starts_with(c.conname, 'loom_not_null_')
  loop
    execute format('alter table %s drop constraint %I', item.name, item.conname);
  end loop;
  drop table if exists private.adoption_touched, private.adoption_touched_money;
  alter table public.payments drop column if exists loom_status;
end;
$$;
