-- What `loom db adopt --plan` asks about policies, functions, triggers and views of the older application: what is replaced or mended,
-- and what is only seen. Only reads.

-- name: replaced
with base (oid, name) as (
  select c.oid, c.relname::text from pg_class as c where c.relnamespace = 'public'::regnamespace and c.relname = any (%(tables)s::text[])
)
select 'policy' as kind, format('%%s on %%s', p.polname, b.name) as name,
  'Loom''s policies decide who sees and changes what' as why
from base as b join pg_policy as p on p.polrelid = b.oid
union all
select 'trigger', format('%%s on %%s', t.tgname, b.name), 'Loom''s triggers keep what it kept, or it wrote where nobody could'
from base as b join pg_trigger as t on t.tgrelid = b.oid
where not t.tgisinternal and t.tgname <> 'check_mfa_enforcement_trigger'
union all
select 'trigger', format('%%s on auth.users', t.tgname), 'it makes profiles, and may trust the role that was typed at sign-up'
from pg_trigger as t
join pg_proc as p on p.oid = t.tgfoid
where t.tgrelid = to_regclass('auth.users') and not t.tgisinternal and p.pronamespace = 'public'::regnamespace
  and (p.proname = 'handle_new_user' or p.prosrc ~* 'insert\s+into\s+(public\.)?"?users\M')
union all
select 'constraint', 'sessions_future_or_current on sessions', 'it compares with the clock at every update, so that old sessions can be neither changed nor restored'
from pg_constraint as c where c.conrelid = to_regclass('public.sessions') and c.conname = 'sessions_future_or_current'
union all
select 'index', i.relname::text, 'it is partial, so an upsert cannot name it: a whole one takes its place'
from pg_index as x join pg_class as i on i.oid = x.indexrelid
where x.indrelid = to_regclass('public.payments') and x.indisunique and x.indpred is not null
  and i.relname in ('payments_idempotency_unique', 'payments_provider_txn_unique')
union all
select 'index', i.relname::text, 'its building was cut off, so nobody reads it'
from base as b join pg_index as x on x.indrelid = b.oid join pg_class as i on i.oid = x.indexrelid
where not x.indisvalid and not exists (select from pg_constraint as k where k.conindid = x.indexrelid)
order by 1, 2

-- name: views
with recursive reader (oid) as (
  select c.oid from pg_class as c
  where c.relnamespace = 'public'::regnamespace and c.relname = any (%(tables)s::text[] || %(beside)s::text[])
  union
  select r.ev_class
  from reader
  join pg_depend as d on d.refobjid = reader.oid and d.classid = 'pg_rewrite'::regclass and d.refclassid = 'pg_class'::regclass
  join pg_rewrite as r on r.oid = d.objid
)
select
  pg_has_role(current_user, c.relowner, 'member') as replaced,
  k.kind || case when pg_has_role(current_user, c.relowner, 'member') then '' else ' of ' || pg_get_userbyid(c.relowner)::text end as kind,
  c.relname::text as name,
  case
    when pg_has_role(current_user, c.relowner, 'member') then case k.kind
      when 'view' then 'it ran as its owner and so past every policy: from now on as whoever reads it, and no longer for anon'
      else 'nothing guards its rows: API roles no longer read it'
    end
    when k.kind = 'view' then format(
      'it shows rows past every policy, and only its owner can mend it: alter view %%1$s set (security_invoker = true); revoke all on %%1$s from public, anon', c.oid::regclass)
    else format('nothing guards its rows, and only its owner can close it: revoke all on %%s from public, anon, authenticated', c.oid::regclass)
  end as why
from reader
join pg_class as c on c.oid = reader.oid
cross join lateral (select case c.relkind when 'v' then 'view' else 'materialized view' end as kind) as k
where c.relnamespace = 'public'::regnamespace and c.relkind in ('v', 'm')
  and (pg_has_role(current_user, c.relowner, 'member') or c.relkind = 'm' or not coalesce('security_invoker=true' = any (c.reloptions), false))
order by 2, 3

-- name: routines
with found as (
  select
    p.oid::regprocedure::text as name, p.prosecdef and p.prorettype <> 'trigger'::regtype as past_policies,
    pg_has_role(current_user, p.proowner, 'member') as ours, pg_get_userbyid(p.proowner)::text as owner,
    p.proname = any (%(old_functions)s::text[]) as listed,
    p.prosecdef and p.prosrc ~* format('\m(%%s)\M', array_to_string(%(tables)s::text[] || %(beside)s::text[], '|')) as reads,
    exists (select from pg_roles where rolname = 'anon') and has_function_privilege('anon', p.oid, 'execute') as for_anon,
    exists (
      select from pg_depend as d
      where d.refobjid = p.oid and d.refclassid = 'pg_proc'::regclass and d.classid = 'pg_policy'::regclass) as asked_by_policies,
    exists (select from unnest(p.proconfig) as c where starts_with(c, 'search_path=')) as has_path,
    case
      when p.proname in ('is_time_slot_available', 'get_available_time_slots') then 'it failed on every call: it answers by what blocks the coach'
      when p.proname = 'get_or_create_direct_conversation' then 'two at once made two conversations: they find the same one, and only the service calls it'
      when p.proname = 'custom_access_token_hook' then 'it took the role that the database needs out of the token: what a person is goes into the claim user_role'
      when p.proname = any (%(callers)s::text[]) then 'it answered for whatever user it was told: it runs as whoever calls it'
    end as cure
  from pg_proc as p
  where p.pronamespace = 'public'::regnamespace and p.prokind in ('f', 'p')
    and not exists (select from pg_depend as d where d.objid = p.oid and d.classid = 'pg_proc'::regclass and d.deptype = 'e')
), judged as (
  select f.*, f.ours and (f.cure is not null or (not f.asked_by_policies and (f.listed or (f.reads and f.for_anon)))) as replaced from found as f
)
select true as replaced, 'function' as kind, j.name, coalesce(
  j.cure,
  case
    when j.listed then 'it answers for whatever user it is told, or writes without asking: API roles may no longer run it'
    else 'it reads or writes past every policy: whoever has not signed in may no longer run it'
  end) as why
from judged as j where j.replaced
union all
select false, 'function of ' || j.owner, j.name,
  format('it reads or writes past every policy, and only its owner can close it: revoke execute on routine %%s from public, anon, authenticated', j.name)
from judged as j where not j.ours and (j.listed or j.reads)
union all
select false, 'function that runs as its owner, for anon too', j.name,
  format('if it is not meant for everybody: revoke execute on routine %%s from public, anon', j.name)
from judged as j where j.past_policies and j.for_anon and not j.replaced and not (not j.ours and j.reads)
union all
select false, 'function that runs as its owner with the caller''s search_path', j.name,
  format('a caller can slip it tables and functions of their own: alter routine %%s set search_path = public, pg_temp', j.name)
from judged as j where j.past_policies and not j.has_path and not j.listed and j.cure is null
order by 2, 3

-- name: tables_beside
with found as (
  select c.oid, c.relname::text as name, c.relrowsecurity,
    c.relname = any (%(beside)s::text[]) and pg_has_role(current_user, c.relowner, 'member') as cured
  from pg_class as c
  where c.relnamespace = 'public'::regnamespace and c.relkind = 'r' and c.relname <> all (%(tables)s::text[])
)
select f.cured as replaced, case when f.cured then 'table' else 'table without row-level security' end as kind, f.name,
  case
    when f.cured then 'whoever reached it read and wrote every row: row-level security is switched on, and anon is out'
    else format('whoever reaches it reads and writes every row: alter table %%s enable row level security, and give it policies', f.oid::regclass)
  end as why
from found as f where not f.relrowsecurity
union all
select f.cured, case when f.cured then 'policy' else 'policy that lets everybody write' end, format('%%s on %%s', p.polname, f.name),
  case when f.cured then 'it let everybody write' else format('drop policy %%I on %%s, or give it a condition', p.polname, f.oid::regclass) end
from found as f join pg_policy as p on p.polrelid = f.oid
where p.polpermissive and p.polcmd in ('a', 'w', 'd', '*')
  and not (f.cured and f.name in ('file_uploads', 'file_shares', 'session_files'))
  and coalesce(pg_get_expr(p.polqual, p.polrelid), 'true') = 'true' and coalesce(pg_get_expr(p.polwithcheck, p.polrelid), 'true') = 'true'
union all
select true, 'policy', format('%%s on %%s', p.polname, f.name), 'policies of files read one another without end: the same rights, in a form that works'
from found as f join pg_policy as p on p.polrelid = f.oid
where f.cured and f.name in ('file_uploads', 'file_shares', 'session_files')
order by 2, 3

-- name: locks_beside
-- Tables that are not taken over and have to wait all the same. Their indexes of foreign keys are asked for elsewhere.
select c.relname::text as name, 'ACCESS EXCLUSIVE' as lock, greatest(c.reltuples, 0)::bigint as rows
from pg_class as c
where c.relnamespace = 'public'::regnamespace and c.relname = any (%(beside)s::text[]) and c.relkind = 'r'
  and pg_has_role(current_user, c.relowner, 'member')
  and (
    c.relname in ('file_uploads', 'file_shares', 'session_files', 'session_requests') or not c.relrowsecurity
    or exists (
      select from pg_policy as p
      where p.polrelid = c.oid and p.polpermissive and p.polcmd <> 'r' and coalesce(pg_get_expr(p.polqual, p.polrelid), 'true') = 'true'
        and coalesce(pg_get_expr(p.polwithcheck, p.polrelid), 'true') = 'true'))
union all
select 'auth.users', 'SHARE ROW EXCLUSIVE', greatest(c.reltuples, 0)::bigint
from pg_class as c join pg_namespace as n on n.oid = c.relnamespace where n.nspname = 'auth' and c.relname = 'users'

-- name: payment_status_dependents
-- Whatever names the column while it is text: a change of its type fails at each. Checks and indexes are asked about below, and
-- policies and triggers of the tables that are taken over are gone by then.
select distinct regexp_replace(pg_describe_object(d.classid, d.objid, d.objsubid), '^(rule "?_RETURN"? on|default value for) ', '') as name
from pg_depend as d
join pg_attribute as a on a.attrelid = d.refobjid and a.attnum = d.refobjsubid
where d.refclassid = 'pg_class'::regclass and d.refobjid = to_regclass('public.payments') and a.attname = 'status'
  and a.atttypid = 'text'::regtype
  and d.classid not in ('pg_trigger'::regclass, 'pg_statistic_ext'::regclass)
  and not (d.classid = 'pg_attrdef'::regclass and exists (
    select from pg_attrdef as v where v.oid = d.objid and v.adrelid = d.refobjid and v.adnum = d.refobjsubid))
  and not (d.classid = 'pg_policy'::regclass and exists (
    select from pg_policy as p join pg_class as c on c.oid = p.polrelid
    where p.oid = d.objid and c.relnamespace = 'public'::regnamespace and c.relname = any (%(tables)s::text[])))
  and not (d.classid = 'pg_class'::regclass and d.objsubid = 0 and exists (select from pg_index as x where x.indexrelid = d.objid))
  and not (d.classid = 'pg_constraint'::regclass and exists (
    select from pg_constraint as k where k.oid = d.objid and k.conrelid = d.refobjid and k.contype <> 'f'))
order by 1

-- name: rules_on_payment_status
-- Checks, and indexes with a condition or an expression. Other indexes and the grants on the column come along.
with status as (
  select a.attrelid, a.attnum
  from pg_attribute as a
  where a.attrelid = to_regclass('public.payments') and a.attname = 'status' and a.atttypid = 'text'::regtype
)
select format('check %%I', k.conname) as what, format('alter table public.payments drop constraint %%I', k.conname) as away,
  format('alter table public.payments add constraint %%I %%s', k.conname, pg_get_constraintdef(k.oid)) as again
from status as s join pg_constraint as k on k.conrelid = s.attrelid and k.contype = 'c' and s.attnum = any (k.conkey)
union all
select format('index %%s', i.indexrelid::regclass), format('drop index %%s', i.indexrelid::regclass), pg_get_indexdef(i.indexrelid)
from status as s
join pg_index as i on i.indrelid = s.attrelid and (i.indpred is not null or i.indexprs is not null)
where exists (
  select from pg_depend as d
  where d.classid = 'pg_class'::regclass and d.objid = i.indexrelid and d.refobjid = s.attrelid and d.refobjsubid = s.attnum)
order by 1
