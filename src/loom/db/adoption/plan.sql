-- What `loom db adopt --plan` asks a database that Loom does not have yet. Everything here only reads, and leans on nothing but
-- the tables of the older application. Queries under `change_…` give: what, before, after, rows; under `stop_…`: what, rows, ids.

-- name: server
select
  current_setting('server_version') as version,
  session_user::text as login,
  current_user::text as acting,
  (select r.rolsuper from pg_roles as r where r.rolname = session_user) as superuser,
  exists (select from pg_roles where rolname = 'supabase_admin') as hosted,
  (select t.tableowner::text from pg_tables as t where t.schemaname = 'public' and t.tablename = 'users') as owner

-- name: rights
with auth_users (oid) as (
  -- Not by to_regclass, which fails where the schema itself is closed.
  select c.oid from pg_class as c join pg_namespace as n on n.oid = c.relnamespace where n.nspname = 'auth' and c.relname = 'users'
)
select right_wanted as missing
from (
  values
    (
      'CREATE in schema public',
      has_schema_privilege(current_user, 'public', 'create')
    ),
    (
      'CREATE in the database (for schemas private and jobs)',
      has_database_privilege(current_user, current_database(), 'create')
      or (to_regnamespace('private') is not null and to_regnamespace('jobs') is not null)
    ),
    (
      'SELECT, INSERT, UPDATE, DELETE, REFERENCES and TRIGGER on auth.users',
      coalesce((
        select bool_and(has_table_privilege(current_user, u.oid, p.privilege))
        from auth_users as u, unnest(array['select', 'insert', 'update', 'delete', 'references', 'trigger']) as p (privilege)
      ), true)
    )
) as wanted (right_wanted, there)
where not there
union all
select case
    when installed.extname is not null
      then format('extension %%s in schema extensions, not %%s: alter extension %%1$s set schema extensions', e.name, installed.schema)
    when not exists (select from pg_available_extensions as a where a.name = e.name) then format('extension %%s, which this server does not have', e.name)
    else format('extension %%s: it is not installed, and only a role with CREATE in the database can install it', e.name)
  end
from unnest(array['btree_gist', 'pg_trgm']) as e (name)
left join (
  select x.extname, n.nspname as schema from pg_extension as x join pg_namespace as n on n.oid = x.extnamespace
) as installed on installed.extname = e.name
where case
    when installed.extname is not null then installed.schema <> 'extensions' and e.name = 'pg_trgm'
    else not exists (select from pg_available_extensions as a where a.name = e.name)
      or not has_database_privilege(current_user, current_database(), 'create')
  end

-- name: base_tables
select
  w.name,
  c.oid is not null as present,
  case c.relkind when 'r' then 'table' when 'p' then 'table' when 'v' then 'view' else c.relkind::text end as kind,
  pg_get_userbyid(c.relowner)::text as owner,
  coalesce(c.relowner = 0 or pg_has_role(current_user, c.relowner, 'member'), false) as ours,
  greatest(c.reltuples, 0)::bigint as estimated_rows,
  coalesce(pg_table_size(c.oid), 0) as bytes
from unnest(%(tables)s::text[]) with ordinality as w (name, place)
left join pg_class as c on c.oid = to_regclass(format('public.%%I', w.name))
order by w.place

-- name: base_columns
select c.relname::text as tbl, a.attname::text as col, format_type(a.atttypid, a.atttypmod) as type, a.attnotnull as not_null,
  a.atttypid::bigint as type_id
from pg_class as c
join pg_attribute as a on a.attrelid = c.oid and a.attnum > 0 and not a.attisdropped
where c.relnamespace = 'public'::regnamespace and c.relname = any (%(tables)s::text[])

-- name: type_ids
select w.name, to_regtype(w.name)::oid::bigint as type_id from unnest(%(names)s::text[]) as w (name)

-- name: enum_labels
select t.typname::text as name, array_agg(e.enumlabel::text order by e.enumsortorder) as labels
from pg_type as t
join pg_enum as e on e.enumtypid = t.oid
where t.typnamespace = 'public'::regnamespace
group by t.typname

-- name: relations
select c.relname::text as name, c.relkind::text as kind, greatest(c.reltuples, 0)::bigint as estimated_rows,
  array(
    select a.attname::text from pg_attribute as a where a.attrelid = c.oid and a.attnum > 0 and not a.attisdropped
  ) as columns
from pg_class as c
where c.relnamespace = 'public'::regnamespace and c.relkind in ('r', 'p', 'v', 'm', 'f')

-- name: functions
select format('public.%%s(%%s)', p.proname, pg_get_function_identity_arguments(p.oid)) as name, pg_get_function_result(p.oid) as result
from pg_proc as p
where p.pronamespace = 'public'::regnamespace

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

-- name: views_on_payment_status
select distinct r.ev_class::regclass::text as name
from pg_depend as d
join pg_rewrite as r on r.oid = d.objid
join pg_attribute as a on a.attrelid = d.refobjid and a.attnum = d.refobjsubid
where d.classid = 'pg_rewrite'::regclass and d.refobjid = to_regclass('public.payments') and a.attname = 'status'

-- name: change_currencies
select 'payments.currency' as what, quote_literal(p.currency) as before, s.becomes as after, count(*) as rows
from public.payments as p
cross join lateral (select coalesce(%(decided_currencies)s::jsonb ->> p.currency, upper(btrim(p.currency))) as becomes) as s
where p.currency <> s.becomes and s.becomes = any (%(currencies)s::text[])
group by p.currency, s.becomes

-- name: change_metadata_payments
select 'payments.metadata' as what, coalesce(jsonb_typeof(p.metadata), 'nothing') as before, 'an object' as after, count(*) as rows
from public.payments as p
where p.metadata is null or jsonb_typeof(p.metadata) <> 'object'
group by jsonb_typeof(p.metadata)

-- name: change_metadata_messages
select 'messages.metadata' as what, coalesce(jsonb_typeof(m.metadata), 'nothing') as before, 'an object' as after, count(*) as rows
from public.messages as m
where m.metadata is null or jsonb_typeof(m.metadata) <> 'object'
group by jsonb_typeof(m.metadata)

-- name: change_metadata_attachments
select 'message_attachments.metadata' as what, coalesce(jsonb_typeof(a.metadata), 'nothing') as before, 'an object' as after, count(*) as rows
from public.message_attachments as a
where a.metadata is null or jsonb_typeof(a.metadata) <> 'object'
group by jsonb_typeof(a.metadata)

-- name: change_zones
select z.what, quote_literal(z.timezone) as before, 'UTC' as after, count(*) as rows
from (
  select 'users.timezone' as what, u.timezone from public.users as u
  union all
  select 'notification_preferences.timezone', p.timezone from public.notification_preferences as p
  union all
  select 'coach_availability.timezone', a.timezone from public.coach_availability as a
) as z
where z.timezone <> all (%(zones)s::text[])
group by z.what, z.timezone

-- name: change_links
with linked as (
  select s.id, p.currency, p.amount_cents, p.status
  from (
    select p.user_id, upper(btrim(p.currency)) as currency, p.amount_cents, m.status,
      lower(coalesce(p.metadata ->> 'session_id', p.metadata ->> 'sessionId')) as link
    from public.payments as p
    join jsonb_to_recordset(%(statuses)s::jsonb) as m (original text, status text) on m.original = p.status::text
    where p.metadata ? 'session_id' or p.metadata ? 'sessionId'
  ) as p
  join public.sessions as s
    on s.id = case when p.link ~ '^[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}$' then p.link::uuid end
  where p.user_id is null or p.user_id = s.client_id
)
select 'payments.session_id' as what, 'the session in metadata' as before, 'the session' as after, count(*) as rows from linked
having count(*) > 0
union all
select 'sessions.billing_status', 'unbilled', 'paid', count(*)
from (select l.id from linked as l where l.status = 'paid' group by l.id having count(distinct l.currency) = 1) as paid
having count(*) > 0

-- name: change_unbilled
select 'sessions.billing_status' as what, 'not said' as before, 'unbilled, since no payment names the session' as after,
  (select count(*) from public.sessions) as rows

-- name: change_seats
select 'session_attendees' as what, 'none' as before, r.role || ' seats of old sessions' as after, r.rows
from (
  select 'coach' as role, count(*) as rows from public.sessions
  union all
  select 'client', count(s.client_id) from public.sessions as s
) as r
where r.rows > 0

-- name: change_relations
select 'coach_clients' as what, 'none' as before, 'active: they had a session' as after, count(*) as rows
from (select distinct s.coach_id, s.client_id from public.sessions as s where s.client_id is not null) as pairs
having count(*) > 0

-- name: change_practices
select 'practices' as what, 'none' as before, 'one for each coach' as after, count(*) as rows
from public.users as u where u.role = 'coach'
having count(*) > 0

-- name: change_preferences
select 'notification_preferences' as what, 'none' as before, 'the defaults' as after, count(*) as rows
from public.users as u
where not exists (select from public.notification_preferences as p where p.user_id = u.id)
having count(*) > 0

-- name: change_messages
select 'messages.seq' as what, 'none' as before, 'numbered by time in each conversation' as after, count(*) as rows
from public.messages
having count(*) > 0

-- name: kept_past_overlaps
select 'sessions' as what, 'past sessions of one coach that overlap: kept and marked' as why, count(*) as rows
from (
  select s.scheduled_at, max(s.scheduled_at + make_interval(mins => s.duration_minutes)) over (
    partition by s.coach_id order by s.scheduled_at, s.id rows between unbounded preceding and 1 preceding) as busy_until
  from public.sessions as s
  where s.status not in ('cancelled', 'rescheduled')
    and s.scheduled_at + make_interval(mins => s.duration_minutes) <= now()
) as o
where o.scheduled_at < o.busy_until
having count(*) > 0

-- name: kept_doubled_directs
select 'conversations' as what, 'direct conversations of a pair that has several: all stay, the next start makes a new one' as why, sum(pairs.times)::bigint as rows
from (
  select count(*) as times
  from (
    select c.id, min(p.user_id::text) || max(p.user_id::text) as pair
    from public.conversations as c
    join public.conversation_participants as p on p.conversation_id = c.id
    where c.type = 'direct'
    group by c.id
    having count(*) = 2
  ) as d
  group by d.pair
  having count(*) > 1
) as pairs
having count(*) > 0

-- name: stop_unknown_currencies
select quote_literal(p.currency) as what, count(*) as rows, (array_agg(p.id::text order by p.id))[:20] as ids
from public.payments as p
where coalesce(%(decided_currencies)s::jsonb ->> p.currency, upper(btrim(p.currency))) <> all (%(currencies)s::text[])
group by p.currency

-- name: stop_doubled_addresses
select lower(u.email) as what, count(*) as rows, (array_agg(u.id::text order by u.id))[:20] as ids
from public.users as u
group by lower(u.email)
having count(*) > 1

-- name: stop_doubled_default_methods
select 'user ' || m.user_id as what, count(*) as rows, (array_agg(m.id::text order by m.id))[:20] as ids
from public.payment_methods as m
where m.is_default
group by m.user_id
having count(*) > 1

-- name: stop_overlaps_ahead
select
  format('"%%s" at %%s and "%%s" at %%s', a.title, a.scheduled_at, b.title, b.scheduled_at) as what, 2 as rows,
  array[a.id::text, b.id::text] as ids
from public.sessions as a
join public.sessions as b
  on b.coach_id = a.coach_id and b.id > a.id
  and tstzrange(a.scheduled_at, a.scheduled_at + make_interval(mins => a.duration_minutes))
    && tstzrange(b.scheduled_at, b.scheduled_at + make_interval(mins => b.duration_minutes))
where a.status in ('scheduled', 'in_progress') and b.status in ('scheduled', 'in_progress')
  and a.scheduled_at + make_interval(mins => a.duration_minutes) > now()
  and b.scheduled_at + make_interval(mins => b.duration_minutes) > now()
order by a.scheduled_at, a.id
limit 100

-- name: zones
select n.name from pg_timezone_names as n
where n.name ~ '^(UTC|GMT|Etc/GMT([+-][0-9]{1,2})?|[A-Z][A-Za-z_]+(/[A-Z][A-Za-z_+-]*){1,2})$'
