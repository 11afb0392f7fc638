-- Deleting a row looks at every table that points to it. An index that leads with the key makes that a look-up; one limited to keys
-- that are set will do.
do $$
declare
  beside_tables constant text[] := array[
    'coach_profiles', 'session_requests', 'session_ratings', 'session_feedback', 'session_files', 'file_uploads', 'file_shares',
    'message_analytics_events', 'message_analytics_daily', 'notification_templates', 'notification_delivery_logs'
  ];
  item record;
begin
  for item in
    select c.oid::regclass as tbl, c.relname, a.attname
    from pg_constraint as k
    join pg_class as c on c.oid = k.conrelid
    join pg_attribute as a on a.attrelid = c.oid and a.attnum = k.conkey[1]
    where k.contype = 'f' and cardinality(k.conkey) = 1 and c.relnamespace = 'public'::regnamespace
      and c.relname = any (beside_tables) and pg_has_role(current_user, c.relowner, 'member')
      and not exists (
        select from pg_index as i
        where i.indrelid = c.oid and i.indkey[0] = a.attnum and i.indisvalid
          and (i.indpred is null or pg_get_expr(i.indpred, i.indrelid) = format('(%I IS NOT NULL)', a.attname)))
    order by 1, 3
  loop
    execute format('create index if not exists %I on %s (%I)', format('%s_%s_fk', item.relname, item.attname), item.tbl, item.attname);
  end loop;
end;
$$;
