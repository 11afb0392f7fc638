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
  coalesce(c.reltuples < 0, false) as never_counted,
  coalesce(c.relforcerowsecurity, false) as forced,
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

-- name: change_currencies
select 'payments.currency' as what, quote_literal(p.currency) as before, s.becomes as after, count(*) as rows
from public.payments as p
cross join lateral (select coalesce(%(decided_currencies)s::jsonb ->> p.currency, upper(btrim(p.currency))) as becomes) as s
where p.currency <> s.becomes and s.becomes = any (%(currencies)s::text[])
group by p.currency, s.becomes

-- name: profile_currencies
-- Only where there are such profiles. One that nobody touched says 75.00 USD.
with profiles as (
  select p.coach_id, upper(p.currency) as currency
  from public.coach_profiles as p
  where upper(p.currency) = any (%(currencies)s::text[]) and (upper(p.currency), p.session_rate) <> ('USD', 75.00)
)
select 'sessions.currency' as what, 'not said' as before, p.currency || ', as the coach''s profile says, unless a payment says otherwise' as after,
  count(*) as rows
from public.sessions as s join profiles as p on p.coach_id = s.coach_id
group by p.currency
union all
select 'sessions.currency', 'not said', 'ILS, unless a payment says otherwise', count(*)
from public.sessions as s where s.coach_id not in (select p.coach_id from profiles as p)
having count(*) > 0

-- name: profile_mismatches
with linked as (
  select p.user_id, coalesce(%(decided_currencies)s::jsonb ->> p.currency, upper(btrim(p.currency))) as currency,
    lower(coalesce(p.metadata ->> 'session_id', p.metadata ->> 'sessionId')) as link
  from public.payments as p
  where p.metadata ? 'session_id' or p.metadata ? 'sessionId'
)
select 'payments' as what, 'in another currency than the coach''s profile names: kept, and their sessions take it' as why, count(*) as rows
from linked as l
join public.sessions as s on s.id = case when l.link ~ '^[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}$' then l.link::uuid end
join public.coach_profiles as c on c.coach_id = s.coach_id and (upper(c.currency), c.session_rate) <> ('USD', 75.00)
where (l.user_id is null or l.user_id = s.client_id) and upper(c.currency) = any (%(currencies)s::text[]) and l.currency <> upper(c.currency)
having count(*) > 0

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
select z.what, quote_literal(z.timezone) as before, m.becomes as after, count(*) as rows
from (
  select 'users.timezone' as what, u.timezone from public.users as u
  union all
  select 'notification_preferences.timezone', p.timezone from public.notification_preferences as p
  union all
  select 'coach_availability.timezone', a.timezone from public.coach_availability as a
) as z
join jsonb_to_recordset(%(zones)s::jsonb) as m (original text, becomes text) on m.original = z.timezone
group by z.what, z.timezone, m.becomes

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
  select s.scheduled_at, max(s.ends_at) over (
    partition by s.coach_id order by s.scheduled_at, s.id rows between unbounded preceding and 1 preceding) as busy_until
  from (
    -- What stands at the end of time has no end, and is asked about.
    select t.id, t.coach_id, t.status, t.scheduled_at,
      greatest(least(t.scheduled_at, '290000-01-01'), '4000-01-01 BC') + make_interval(mins => t.duration_minutes) as ends_at
    from public.sessions as t
  ) as s
  where s.status not in ('cancelled', 'rescheduled') and s.ends_at <= now()
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
select p.currency as original, quote_literal(p.currency) as what, count(*) as rows, (array_agg(p.id::text order by p.id))[:20] as ids
from public.payments as p
where coalesce(%(decided_currencies)s::jsonb ->> p.currency, upper(btrim(p.currency))) <> all (%(currencies)s::text[])
group by p.currency

-- name: stop_impossible_times
select s.scheduled_at::text as what, count(*) as rows, (array_agg(s.id::text order by s.id))[:20] as ids
from public.sessions as s
where s.scheduled_at in ('infinity', '-infinity') or s.scheduled_at >= '290000-01-01'
group by s.scheduled_at
order by s.scheduled_at

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
with lasting as (
  select t.id, t.coach_id, t.title, t.status, t.scheduled_at,
    greatest(least(t.scheduled_at, '290000-01-01'), '4000-01-01 BC') + make_interval(mins => t.duration_minutes) as ends_at
  from public.sessions as t
)
select
  format('"%%s" at %%s and "%%s" at %%s', a.title, a.scheduled_at, b.title, b.scheduled_at) as what, 2 as rows,
  array[a.id::text, b.id::text] as ids
from lasting as a
join lasting as b
  on b.coach_id = a.coach_id and b.id > a.id
  and tstzrange(a.scheduled_at, a.ends_at) && tstzrange(b.scheduled_at, b.ends_at)
where a.status in ('scheduled', 'in_progress') and b.status in ('scheduled', 'in_progress')
  and a.ends_at > now() and b.ends_at > now()
order by a.scheduled_at, a.id
limit 100

-- name: broken_rows
select count(*)::int as rows, coalesce((array_agg(r.id::text order by r.id))[:20], '{}') as ids from public.@table as r where @breaks

-- name: broken_unique
(@columns) in (select @columns from public.@table group by @columns having count(*) > 1)
