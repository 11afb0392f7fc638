-- What a database is, as facts: kind, object, definition. Only what pg_catalog says, in words that are the same on every
-- version from 15 to 18 and whoever owns the objects. The order of columns is no fact.

-- name: read_facts
with area as (
  select n.oid, n.nspname from pg_namespace as n where n.nspname in ('public', 'private')
), relation as (
  select c.oid, c.relname, c.relkind, c.relrowsecurity, c.relforcerowsecurity, c.reloptions, c.relacl, c.relowner,
    format('%s.%s', a.nspname, c.relname) as name
  from pg_class as c
  join area as a on a.oid = c.relnamespace
  where c.relkind in ('r', 'p', 'v', 'm', 'S')
    and not exists (select from pg_depend as d where d.objid = c.oid and d.classid = 'pg_class'::regclass and d.deptype in ('e', 'i'))
), routine as (
  select p.*, format('%s.%s(%s)', a.nspname, p.proname, pg_get_function_identity_arguments(p.oid)) as name
  from pg_proc as p
  join area as a on a.oid = p.pronamespace
  where not exists (select from pg_depend as d where d.objid = p.oid and d.classid = 'pg_proc'::regclass and d.deptype = 'e')
), grantee (oid, name) as (
  select 0::oid, 'public'
  union all
  select r.oid, r.rolname::text from pg_roles as r where r.rolname in ('anon', 'authenticated', 'service_role', 'loom_api')
)
select 'enum' as kind, format('%s.%s', a.nspname, t.typname) as object, string_agg(e.enumlabel, ', ' order by e.enumsortorder) as definition
from pg_type as t
join area as a on a.oid = t.typnamespace
join pg_enum as e on e.enumtypid = t.oid
group by a.nspname, t.typname
union all
select
  'relation', r.name, concat_ws(
    ', ',
    case r.relkind when 'r' then 'table' when 'p' then 'partitioned table' when 'v' then 'view' when 'm' then 'materialized view' else 'sequence' end,
    case when r.relrowsecurity then 'row-level security' end,
    case when r.relforcerowsecurity then 'forced' end,
    array_to_string(r.reloptions, ', '))
from relation as r
union all
select
  'column', format('%s.%s', r.name, a.attname), concat_ws(
    ' ',
    format_type(a.atttypid, a.atttypmod),
    case when a.attnotnull then 'not null' end,
    case when a.attgenerated <> '' then 'generated' end,
    case when a.attidentity <> '' then 'identity' end,
    nullif('default ' || coalesce(pg_get_expr(d.adbin, d.adrelid), ''), 'default '))
from relation as r
join pg_attribute as a on a.attrelid = r.oid and a.attnum > 0 and not a.attisdropped
left join pg_attrdef as d on d.adrelid = a.attrelid and d.adnum = a.attnum
where r.relkind in ('r', 'p')
union all
select 'constraint', format('%s.%s', r.name, c.conname), pg_get_constraintdef(c.oid)
from relation as r
join pg_constraint as c on c.conrelid = r.oid and c.contype <> 'n'
union all
select 'index', format('%s.%s', r.name, i.relname), pg_get_indexdef(x.indexrelid) || case when x.indisvalid then '' else ' invalid' end
from relation as r
join pg_index as x on x.indrelid = r.oid
join pg_class as i on i.oid = x.indexrelid
where not exists (select from pg_constraint as c where c.conindid = x.indexrelid and c.conrelid = r.oid)
union all
select
  'trigger', format('%s.%s', c.name, t.tgname),
  pg_get_triggerdef(t.oid) || case t.tgenabled when 'O' then '' else ' disabled or replica only' end
from (
  select r.oid, r.name from relation as r
  union all
  select to_regclass('auth.users')::oid, 'auth.users'
) as c
join pg_trigger as t on t.tgrelid = c.oid and not t.tgisinternal
union all
select
  'policy', format('%s.%s', r.name, p.polname), concat_ws(
    ' ',
    case when p.polpermissive then 'permissive' else 'restrictive' end,
    case p.polcmd when 'r' then 'select' when 'a' then 'insert' when 'w' then 'update' when 'd' then 'delete' else 'all' end,
    'to',
    (select string_agg(case when o.id = 0 then 'public' else pg_get_userbyid(o.id)::text end, ', ' order by 1) from unnest(p.polroles) as o (id)),
    'using ' || pg_get_expr(p.polqual, p.polrelid),
    'check ' || pg_get_expr(p.polwithcheck, p.polrelid))
from relation as r
join pg_policy as p on p.polrelid = r.oid
union all
select
  'function', f.name, concat_ws(
    ' ',
    'returns', pg_get_function_result(f.oid),
    (select l.lanname from pg_language as l where l.oid = f.prolang),
    case f.provolatile when 'i' then 'immutable' when 's' then 'stable' else 'volatile' end,
    case when f.prosecdef then 'security definer' end,
    array_to_string(f.proconfig, ', '),
    'defaults ' || pg_get_expr(f.proargdefaults, 0),
    'body', md5(f.prosrc))
from routine as f
union all
select 'view', r.name, pg_get_viewdef(r.oid)
from relation as r
where r.relkind in ('v', 'm')
union all
select 'grant', format('%s to %s', r.name, g.name), string_agg(lower(x.privilege_type), ', ' order by lower(x.privilege_type))
from relation as r
cross join lateral aclexplode(coalesce(r.relacl, acldefault(case r.relkind when 'S' then 's'::"char" else 'r' end, r.relowner))) as x
join grantee as g on g.oid = x.grantee
where x.grantee <> r.relowner
group by r.name, g.name
union all
select 'grant', format('%s.%s to %s', r.name, a.attname, g.name), string_agg(lower(x.privilege_type), ', ' order by lower(x.privilege_type))
from relation as r
join pg_attribute as a on a.attrelid = r.oid and a.attnum > 0 and not a.attisdropped
cross join lateral aclexplode(a.attacl) as x
join grantee as g on g.oid = x.grantee
group by r.name, a.attname, g.name
union all
select 'grant', format('%s to %s', f.name, g.name), 'execute'
from routine as f
cross join lateral aclexplode(coalesce(f.proacl, acldefault('f', f.proowner))) as x
join grantee as g on g.oid = x.grantee
where x.grantee <> f.proowner
union all
select 'grant', format('schema %s to %s', n.nspname, g.name), string_agg(lower(x.privilege_type), ', ' order by lower(x.privilege_type))
from pg_namespace as n
cross join lateral aclexplode(n.nspacl) as x
join grantee as g on g.oid = x.grantee
where n.nspname = 'private'
group by n.nspname, g.name
order by 1, 2
