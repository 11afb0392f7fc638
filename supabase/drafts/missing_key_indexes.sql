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
