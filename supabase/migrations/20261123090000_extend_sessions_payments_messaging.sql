-- The extension: sessions with attendees, templates and billing; invoices, payments and refunds; conversations with contexts,
-- mentions and deliveries. One transaction on a fresh and on an existing database; it can be run again.
-- The first half, written by hand, brings existing tables and data to the new shape. The second half is today's schema files.
select set_config('lock_timeout', '4s', true);

-- What must be there, and what must not ------------------------------------------------------------------------------------

do $$
declare
  problems text[] := '{}';
  missing text[];
begin
  select array_agg(name) into missing
  from unnest(array[
    'users', 'sessions', 'coach_notes', 'reflections', 'coach_availability', 'notifications', 'notification_preferences',
    'conversations', 'conversation_participants', 'messages', 'message_reactions', 'message_attachments',
    'message_read_receipts', 'typing_indicators', 'payments'
  ]) as name
  where to_regclass(format('public.%I', name)) is null;
  if missing is not null then
    problems := problems || format('base tables are missing (%s): run the migration before this one', array_to_string(missing, ', '));
  end if;

  -- An earlier line of Loom made invoices of its own, one per payment. Lines must not silently attach to those.
  if to_regclass('public.invoices') is not null then
    select array_agg(name) into missing
    from unnest(array['user_id', 'status', 'due_date', 'total_amount_cents', 'currency', 'issued_at', 'paid_at', 'metadata']) as name
    where not exists (
      select from pg_attribute as a
      where a.attrelid = to_regclass('public.invoices') and a.attname = name and not a.attisdropped);
    if missing is not null then
      problems := problems || format(
        'there is a table invoices of another shape (it lacks %s): rename it, for example to invoices_before_loom, and run this again',
        array_to_string(missing, ', '));
    end if;
  end if;

  if to_regclass('public.users') is not null then
    select array_agg(format('%s (%s times)', address, times)) into missing
    from (
      select lower(u.email) as address, count(*) as times from public.users as u group by 1 having count(*) > 1
    ) as doubled;
    if missing is not null then
      problems := problems || format('e-mail addresses of users differ only in case: %s', array_to_string(missing, ', '));
    end if;
  end if;

  if problems <> '{}' then
    raise exception using message = format('This database cannot be extended yet: %s.', array_to_string(problems, '; ')),
      hint = 'Nothing was changed.';
  end if;
end;
$$;

create schema if not exists private;

-- Decisions of an adoption, read here and written by whoever adopts a database (Loom's CLI, or plain SQL before a push).
create table if not exists private.adoption_decisions (
  kind text not null,
  key text not null,
  value text not null,
  created_at timestamptz not null default now(),
  primary key (kind, key)
);

-- Old policies, triggers, functions and views of the three domains -----------------------------------------------------------
-- Read from the catalogue, since no two old databases have the same set. What is outside the domains stays.

do $$
declare
  base_tables constant text[] := array[
    'users', 'sessions', 'coach_notes', 'reflections', 'coach_availability', 'notifications', 'notification_preferences',
    'conversations', 'conversation_participants', 'messages', 'message_reactions', 'message_attachments',
    'message_read_receipts', 'typing_indicators', 'payments'
  ];
  -- Functions that answered for any user's id or wrote without asking. Those that policies elsewhere build on (is_admin and
  -- the like), that audit, or that belong to other domains stay.
  old_functions constant text[] := array[
    'is_time_slot_available', 'get_available_time_slots', 'create_session', 'get_upcoming_sessions',
    'validate_session_availability_with_timezone', 'send_notification', 'mark_notifications_read', 'mark_notification_read',
    'mark_all_notifications_read', 'get_unread_notification_count', 'create_notification_from_template',
    'schedule_session_reminders', 'cleanup_old_notifications', 'get_or_create_direct_conversation',
    'mark_conversation_as_read', 'get_unread_message_count', 'get_last_messages_for_conversations', 'can_user_message_user',
    'archive_old_messages', 'delete_archived_messages', 'comprehensive_database_cleanup', 'update_user_auth_metadata',
    'cleanup_expired_typing_indicators', 'get_user_invoices', 'get_invoice_details', 'create_invoice_from_payment',
    'mark_invoice_paid'
  ];
  item record;
begin
  for item in
    select p.polname, c.relname
    from pg_policy as p
    join pg_class as c on c.oid = p.polrelid
    where c.relnamespace = 'public'::regnamespace and c.relname = any (base_tables)
  loop
    execute format('drop policy %I on public.%I', item.polname, item.relname);
  end loop;

  for item in
    select t.tgname, c.relname
    from pg_trigger as t
    join pg_class as c on c.oid = t.tgrelid
    where c.relnamespace = 'public'::regnamespace and c.relname = any (base_tables) and not t.tgisinternal
      -- Second factors of an older application are outside what is replaced here.
      and t.tgname <> 'check_mfa_enforcement_trigger'
  loop
    execute format('drop trigger %I on public.%I', item.tgname, item.relname);
  end loop;

  -- The sign-up trigger, whatever it is called: it trusted the role that the caller typed. One of Loom's name is replaced below.
  for item in
    select t.tgname, p.oid::regprocedure as signature
    from pg_trigger as t
    join pg_proc as p on p.oid = t.tgfoid
    where t.tgrelid = to_regclass('auth.users') and not t.tgisinternal
      and t.tgname not in ('on_auth_user_created', 'on_auth_user_changed')
      and p.pronamespace = 'public'::regnamespace
      and (p.proname = 'handle_new_user' or p.prosrc ~* 'insert\s+into\s+(public\.)?"?users\M')
  loop
    begin
      execute format('drop trigger %I on auth.users', item.tgname);
    exception
      when insufficient_privilege then
        -- auth.users may be somebody else's, the function behind the trigger is ours.
        execute format(
          'create or replace function %s returns trigger language plpgsql set search_path = '''' as $f$ begin return new; end $f$',
          item.signature);
    end;
  end loop;

  -- Dropping one that something outside still names would fail, so these lose their callers instead.
  for item in
    select p.oid::regprocedure as signature
    from pg_proc as p
    where p.pronamespace = 'public'::regnamespace and p.prokind = 'f' and p.proname = any (old_functions)
      and pg_has_role(current_user, p.proowner, 'member')
  loop
    execute format('revoke execute on function %s from public, anon, authenticated', item.signature);
  end loop;

  -- Views that run as their owner showed every row to everybody; a view on such a view does the same.
  for item in
    with recursive reader (oid) as (
      select c.oid
      from pg_class as c
      where c.relnamespace = 'public'::regnamespace and c.relname = any (base_tables || array['session_requests'])
      union
      select r.ev_class
      from reader
      join pg_depend as d
        on d.refobjid = reader.oid and d.classid = 'pg_rewrite'::regclass and d.refclassid = 'pg_class'::regclass
      join pg_rewrite as r on r.oid = d.objid
    )
    select c.oid::regclass as name, c.relkind
    from reader
    join pg_class as c on c.oid = reader.oid
    where c.relnamespace = 'public'::regnamespace and c.relkind in ('v', 'm') and pg_has_role(current_user, c.relowner, 'member')
  loop
    if item.relkind = 'v' then
      execute format('alter view %s set (security_invoker = true)', item.name);
      execute format('revoke all on %s from public, anon', item.name);
    else
      -- A materialized view has no policies at all.
      execute format('revoke all on %s from public, anon, authenticated', item.name);
    end if;
  end loop;
end;
$$;

-- The check compared with the clock at every update: no session older than a day could be changed, nor restored from a dump.
alter table public.sessions drop constraint if exists sessions_future_or_current;

-- Data that new constraints ask for -------------------------------------------------------------------------------------------

-- Enums of the review that columns below need; the schema files hold them all.
do $$
begin
  if to_regtype('public.session_billing_status') is null then
    create type public.session_billing_status as enum ('unbilled', 'awaiting_payment', 'paid', 'written_off');
  end if;
  if to_regtype('public.payment_status') is null then
    create type public.payment_status as enum ('pending', 'paid', 'failed', 'canceled', 'refunded');
  end if;
end;
$$;

do $$
declare
  item record;
begin
  -- Times that were nullable by oversight: lists are ordered by them.
  for item in
    select c.relname, a.attname
    from pg_attribute as a
    join pg_class as c on c.oid = a.attrelid
    where c.relnamespace = 'public'::regnamespace
      and c.relname in (
        'users', 'sessions', 'coach_notes', 'reflections', 'coach_availability', 'notifications', 'notification_preferences',
        'conversations', 'conversation_participants', 'messages', 'message_reactions', 'message_attachments')
      and a.attname in ('created_at', 'updated_at') and not a.attisdropped and not a.attnotnull
    order by c.relname, a.attname
  loop
    execute format('update public.%1$I set %2$I = now() where %2$I is null', item.relname, item.attname);
    execute format('alter table public.%I alter column %I set not null', item.relname, item.attname);
  end loop;

  -- A metadata that is null swallows whatever is added to it.
  for item in
    select c.relname, a.attnotnull
    from pg_attribute as a
    join pg_class as c on c.oid = a.attrelid
    where c.relnamespace = 'public'::regnamespace
      and c.relname in ('payments', 'messages', 'message_attachments')
      and a.attname = 'metadata' and not a.attisdropped
    order by c.relname
  loop
    if not item.attnotnull then
      execute format(
        $sql$
          update public.%I
          set metadata = case when metadata is null then '{}' else jsonb_build_object('value', metadata) end
          where metadata is null or jsonb_typeof(metadata) <> 'object'
        $sql$,
        item.relname);
      execute format('alter table public.%I alter column metadata set not null', item.relname);
    end if;
  end loop;
end;
$$;

-- identity and practice

do $$
begin
  -- A zone that is no IANA name would hold up every later change of the row; it becomes the default, and is kept for a person
  -- to look at. The helper of the constraints comes with the schema files, so its pattern stands here too.
  create temporary table loom_zones on commit drop as
  select z.name
  from pg_timezone_names as z
  where z.name ~ '^(UTC|GMT|Etc/GMT([+-][0-9]{1,2})?|[A-Z][A-Za-z_]+(/[A-Z][A-Za-z_+-]*){1,2})$';
  insert into private.adoption_decisions (kind, key, value)
  select 'users.timezone', u.id::text, u.timezone from public.users as u where u.timezone not in (select name from loom_zones)
  on conflict (kind, key) do nothing;
  update public.users set timezone = 'UTC' where timezone not in (select name from loom_zones);
  update public.notification_preferences set timezone = 'UTC' where timezone not in (select name from loom_zones);
  update public.coach_availability set timezone = 'UTC' where timezone not in (select name from loom_zones);
  drop table loom_zones;
end;
$$;

-- scheduling

-- billing

do $$
declare
  item record;
  unknown text;
begin
  if (select a.atttypid from pg_attribute as a
      where a.attrelid = 'public.payments'::regclass and a.attname = 'status') = 'text'::regtype then
    create temporary table loom_payment_statuses on commit drop as
    select
      p.status as original,
      count(*) as times,
      coalesce(
        -- What a person decided comes before what is usual.
        (select d.value from private.adoption_decisions as d where d.kind = 'payments.status' and d.key = p.status),
        case
          when cleaned.status in ('paid', 'completed', 'complete', 'succeeded', 'success', 'captured') then 'paid'
          when cleaned.status in ('canceled', 'cancelled', 'void', 'voided') then 'canceled'
          when cleaned.status in ('failed', 'failure', 'declined', 'rejected', 'error') then 'failed'
          when cleaned.status in ('pending', 'created', 'new', 'processing') then 'pending'
          when cleaned.status = 'refunded' then 'refunded'
        end
      ) as status
    from public.payments as p
    cross join lateral (select lower(btrim(p.status, E' \t\r\n'))) as cleaned (status)
    group by p.status, cleaned.status;

    select string_agg(format('%L (%s)', s.original, s.times), ', ' order by s.original) into unknown
    from loom_payment_statuses as s
    where s.status is null or s.status not in ('pending', 'paid', 'failed', 'canceled', 'refunded');
    if unknown is not null then
      raise exception using
        message = format('Payments have statuses that nobody has decided on, with their counts: %s.', unknown),
        hint = 'Nothing was changed. Decide each: insert into private.adoption_decisions (kind, key, value) values '
          || '(''payments.status'', ''<text as it stands>'', ''pending|paid|failed|canceled|refunded''), then run this again.';
    end if;

    update public.payments as p
    set status = s.status, metadata = p.metadata || jsonb_build_object('status_before_loom', p.status)
    from loom_payment_statuses as s
    where s.original = p.status and s.status <> p.status;

    -- Indexes on the column are rebuilt by the change of type; a default of the old type would stop it.
    alter table public.payments alter column status drop default;
    alter table public.payments alter column status type public.payment_status using status::public.payment_status;
    alter table public.payments alter column status set default 'pending';
    drop table loom_payment_statuses;
  end if;

  -- ON CONFLICT cannot name a partial unique index, so a provider's callback could never be repeated. A full one lets as many
  -- nulls in.
  for item in
    select i.indexrelid::regclass as name, c.relname
    from pg_index as i
    join pg_class as c on c.oid = i.indexrelid
    where i.indrelid = 'public.payments'::regclass and i.indisunique and i.indpred is not null
      and c.relname in ('payments_idempotency_unique', 'payments_provider_txn_unique')
  loop
    execute format('drop index %s', item.name);
  end loop;
end;
$$;
create unique index if not exists payments_idempotency_unique on public.payments (idempotency_key);
create unique index if not exists payments_provider_txn_unique on public.payments (provider, provider_transaction_id);

-- messaging

-- The schema as it is now ---------------------------------------------------------------------------------------------------

-- schemas/00_foundation/10_schemas.sql
-- Schemas that API roles never list tables of: `private` holds helpers and secrets, `jobs` the queue.
create schema if not exists private;
comment on schema private is 'Loom: helpers of policies and triggers, credentials, tokens. Not exposed by any API.';
create schema if not exists jobs;
comment on schema jobs is 'Loom: the job queue. Not exposed by any API.';
create schema if not exists extensions;

revoke all on schema private from public, anon, authenticated, service_role;
revoke all on schema jobs from public, anon, authenticated, service_role;
-- Policies and invoker triggers call helpers as the caller; what each caller may execute is granted function by function.
grant usage on schema private to anon, authenticated, service_role;

-- Equality on uuid beside overlap on ranges, in one exclusion constraint. Trusted, so no superuser is needed.
create extension if not exists btree_gist with schema extensions;

-- schemas/00_foundation/20_enums.sql
-- Every enum of the base tables and of the review, labels in the order they have there. Nothing is ever added to them:
-- what a label cannot say is derived from amounts, times and further columns.
do $$
declare
  item record;
begin
  for item in
    select *
    from (values
      ('user_role', array['client', 'coach', 'admin']),
      ('user_status', array['active', 'inactive', 'suspended']),
      ('language', array['en', 'he']),
      ('session_status', array['scheduled', 'in_progress', 'completed', 'cancelled', 'rescheduled', 'no_show']),
      ('privacy_level', array['private', 'shared_with_client']),
      ('notification_type', array[
        'session_reminder', 'session_confirmation', 'new_message', 'system_update', 'welcome_message', 'goal_achieved',
        'appointment_reminder', 'coach_message', 'client_message', 'session_cancelled', 'session_rescheduled',
        'reflection_reminder', 'system_announcement', 'payment_reminder']),
      ('conversation_type', array['direct', 'group']),
      ('message_type', array['text', 'file', 'system']),
      ('message_status', array['sent', 'delivered', 'read']),
      ('attachment_type', array['image', 'document', 'video', 'audio', 'other']),
      ('session_billing_status', array['unbilled', 'awaiting_payment', 'paid', 'written_off']),
      ('session_attendee_role', array['client', 'coach', 'guest']),
      ('session_attendee_status', array['invited', 'confirmed', 'declined', 'checked_in']),
      ('payment_status', array['pending', 'paid', 'failed', 'canceled', 'refunded']),
      ('payment_intent_status',
        array['requires_payment_method', 'requires_confirmation', 'processing', 'succeeded', 'canceled']),
      ('payment_method_type', array['credit_card', 'bank_transfer', 'cash', 'voucher', 'other']),
      ('refund_status', array['pending', 'processing', 'succeeded', 'failed']),
      ('conversation_context_type', array['general', 'session', 'program']),
      ('message_delivery_channel', array['in_app', 'email', 'push']),
      ('message_delivery_status', array['pending', 'sent', 'failed'])
    ) as wanted (name, labels)
  loop
    if to_regtype(format('public.%I', item.name)) is null then
      execute format(
        'create type public.%I as enum (%s)',
        item.name,
        (select string_agg(quote_literal(label), ', ' order by place)
         from unnest(item.labels) with ordinality as l (label, place)));
    end if;
  end loop;
end;
$$;

-- schemas/00_foundation/30_errors.sql
create or replace function private.fail(status integer, code text, message text, hint text default null)
returns void
language plpgsql
security invoker
set search_path = ''
as $$
begin
  -- SQLSTATE PTxxx is answered with HTTP status xxx by PostgREST and by Loom; the code travels as the constraint name.
  if hint is null then
    raise exception using errcode = 'PT' || status, message = message, constraint = code;
  end if;
  raise exception using errcode = 'PT' || status, message = message, hint = hint, constraint = code;
end;
$$;
comment on function private.fail(integer, text, text, text) is
  'Refuses the current statement: an HTTP status, a stable code and a sentence for people.';
revoke execute on function private.fail(integer, text, text, text) from public, anon, authenticated, service_role;
grant execute on function private.fail(integer, text, text, text) to anon, authenticated, service_role;

-- schemas/00_foundation/40_caller.sql
create or replace function private.acting_as_api()
returns boolean
language sql
stable
security invoker
set search_path = ''
as $$
  -- SET ROLE survives into security definer functions as the setting "role", where current_user does not. A login
  -- straight as an API role has never set it, so then the session user decides.
  select case current_setting('role', true)
    when 'none' then session_user in ('anon', 'authenticated')
    else coalesce(current_setting('role', true) in ('anon', 'authenticated'), false)
  end
$$;
comment on function private.acting_as_api() is
  'True when the request runs as anon or authenticated. Owner, service role and imports are held to constraints, not to booking rules.';
revoke execute on function private.acting_as_api() from public, anon, authenticated, service_role;
grant execute on function private.acting_as_api() to anon, authenticated, service_role;

create or replace function private.token_subject()
returns uuid
language sql
stable
security invoker
set search_path = ''
as $$
  -- A subject that is not a uuid belongs to nobody here; it must not become a cast error in every policy.
  select case
    when claims.sub ~ '^[0-9a-fA-F]{8}-[0-9a-fA-F]{4}-[0-9a-fA-F]{4}-[0-9a-fA-F]{4}-[0-9a-fA-F]{12}$' then claims.sub::uuid
  end
  from (
    select nullif(current_setting('request.jwt.claims', true), '')::jsonb ->> 'sub'
  ) as claims (sub)
$$;
comment on function private.token_subject() is
  'The sub of the verified token, whether or not such a user exists. No other claim is ever trusted.';
revoke execute on function private.token_subject() from public, anon, authenticated, service_role;
grant execute on function private.token_subject() to anon, authenticated, service_role;

-- schemas/00_foundation/50_checks.sql
create or replace function private.is_time_zone(name text)
returns boolean
language plpgsql
stable
security invoker
set search_path = ''
as $$
begin
  -- PostgreSQL also takes abbreviations and POSIX strings ('Foo/Bar3' is three hours west of nowhere). Only the shape of an
  -- IANA name is let through to the conversion, which then knows whether the zone exists.
  if name is null
    or char_length(name) > 64
    or name !~ '^(UTC|GMT|Etc/GMT([+-][0-9]{1,2})?|[A-Z][A-Za-z_]+(/[A-Z][A-Za-z_+-]*){1,2})$' then
    return false;
  end if;
  perform pg_catalog.timezone(name, timestamptz '2000-01-01 00:00:00+00');
  return true;
exception
  when invalid_parameter_value then
    return false;
end;
$$;
comment on function private.is_time_zone(text) is 'Whether the text is the IANA name of a time zone that this server knows.';
revoke execute on function private.is_time_zone(text) from public, anon, authenticated, service_role;
grant execute on function private.is_time_zone(text) to anon, authenticated, service_role;

create or replace function private.currency_exponent(code text)
returns smallint
language sql
immutable
parallel safe
security invoker
set search_path = ''
as $$
  -- ISO 4217, national currencies in use, and those that ended lately and still stand in old rows (ANG, BGN).
  select case
    when code in (
      'BIF', 'CLP', 'DJF', 'GNF', 'ISK', 'JPY', 'KMF', 'KRW', 'PYG', 'RWF', 'UGX', 'VND', 'VUV', 'XAF', 'XOF', 'XPF'
    ) then 0
    when code in ('BHD', 'IQD', 'JOD', 'KWD', 'LYD', 'OMR', 'TND') then 3
    when code in (
      'AED', 'AFN', 'ALL', 'AMD', 'ANG', 'AOA', 'ARS', 'AUD', 'AWG', 'AZN', 'BAM', 'BBD', 'BDT', 'BGN', 'BMD', 'BND', 'BOB',
      'BRL', 'BSD', 'BTN', 'BWP', 'BYN', 'BZD', 'CAD', 'CDF', 'CHF', 'CNY', 'COP', 'CRC', 'CUP', 'CVE', 'CZK', 'DKK', 'DOP',
      'DZD', 'EGP', 'ERN', 'ETB', 'EUR', 'FJD', 'FKP', 'GBP', 'GEL', 'GHS', 'GIP', 'GMD', 'GTQ', 'GYD', 'HKD', 'HNL', 'HTG',
      'HUF', 'IDR', 'ILS', 'INR', 'IRR', 'JMD', 'KES', 'KGS', 'KHR', 'KPW', 'KYD', 'KZT', 'LAK', 'LBP', 'LKR', 'LRD', 'LSL',
      'MAD', 'MDL', 'MGA', 'MKD', 'MMK', 'MNT', 'MOP', 'MRU', 'MUR', 'MVR', 'MWK', 'MXN', 'MYR', 'MZN', 'NAD', 'NGN', 'NIO',
      'NOK', 'NPR', 'NZD', 'PAB', 'PEN', 'PGK', 'PHP', 'PKR', 'PLN', 'QAR', 'RON', 'RSD', 'RUB', 'SAR', 'SBD', 'SCR', 'SDG',
      'SEK', 'SGD', 'SHP', 'SLE', 'SOS', 'SRD', 'SSP', 'STN', 'SVC', 'SYP', 'SZL', 'THB', 'TJS', 'TMT', 'TOP', 'TRY', 'TTD',
      'TWD', 'TZS', 'UAH', 'USD', 'UYU', 'UZS', 'VED', 'VES', 'WST', 'XCD', 'XCG', 'YER', 'ZAR', 'ZMW', 'ZWG'
    ) then 2
  end::smallint
$$;
comment on function private.currency_exponent(text) is
  'Digits of the minor unit of an ISO 4217 currency (ILS 2, JPY 0, KWD 3); null when there is no such currency.';
revoke execute on function private.currency_exponent(text) from public, anon, authenticated, service_role;
grant execute on function private.currency_exponent(text) to anon, authenticated, service_role;

create or replace function private.is_currency(code text)
returns boolean
language sql
immutable
parallel safe
security invoker
set search_path = ''
as $$
  select code is not null and private.currency_exponent(code) is not null
$$;
comment on function private.is_currency(text) is 'Whether the text is the three-capital code of an ISO 4217 currency. Fit for check constraints.';
revoke execute on function private.is_currency(text) from public, anon, authenticated, service_role;
grant execute on function private.is_currency(text) to anon, authenticated, service_role;

-- schemas/00_foundation/60_touch.sql
create or replace function private.touch_updated_at()
returns trigger
language plpgsql
security invoker
set search_path = ''
as $$
begin
  new.updated_at := pg_catalog.now();
  return new;
end;
$$;
comment on function private.touch_updated_at() is 'Trigger: keeps updated_at, whatever the statement says.';
revoke execute on function private.touch_updated_at() from public, anon, authenticated, service_role;

-- schemas/00_foundation/70_adoption_decisions.sql
create table if not exists private.adoption_decisions (
  kind text not null,
  key text not null,
  value text not null,
  created_at timestamptz not null default now(),
  primary key (kind, key)
);
comment on table private.adoption_decisions is
  'What a person decided about old data when Loom took over their database, and values that had to be replaced. Read by migrations.';
comment on column private.adoption_decisions.kind is 'payments.status: what an unknown status means. users.timezone: the unknown zone a profile had.';

revoke all on private.adoption_decisions from public, anon, authenticated, service_role;
grant select on private.adoption_decisions to service_role;
alter table private.adoption_decisions enable row level security;

-- schemas/00_foundation/80_schema_version.sql
create or replace function private.schema_version()
returns text
language plpgsql
stable
security definer
set search_path = ''
as $$
begin
  if to_regclass('supabase_migrations.schema_migrations') is null then
    return null;
  end if;
  return (select max(m.version) from supabase_migrations.schema_migrations as m);
end;
$$;
comment on function private.schema_version() is
  'security definer: API roles may not read the bookkeeping of migrations. The newest migration applied, or null.';
revoke execute on function private.schema_version() from public, anon, authenticated, service_role;
grant execute on function private.schema_version() to service_role;

-- schemas/70_jobs/enqueue.sql
-- The one way to put work into the queue, inside the transaction that causes the work: rolled back with it, never lost.
-- The queue's own tables (schema jobs) come from the installed procrastinate; `loom db migrate` brings them.
create schema if not exists private;

create or replace function private.enqueue(
  p_task text,
  p_args jsonb default '{}',
  p_run_at timestamptz default null,
  p_lock text default null,
  p_queueing_lock text default null
) returns bigint
  language plpgsql
  volatile
  security definer
  set search_path = ''
as $$
declare
  v_ids bigint[];
begin
  if to_regclass('jobs.procrastinate_jobs') is null then
    raise exception 'the job queue is not installed' using
      errcode = '55000',
      constraint = 'queue_missing',
      hint = 'Run `loom db migrate` against this database once.';
  end if;
  begin
    v_ids := jobs.procrastinate_defer_jobs_v1(array[
      row('default', p_task, 0, p_lock, p_queueing_lock, coalesce(p_args, '{}'), p_run_at)
        ::jobs.procrastinate_job_to_defer_v1
    ]);
  exception when unique_violation then
    -- Somebody asked for the same already and it has not begun: once is enough.
    if p_queueing_lock is null then
      raise;
    end if;
    return null;
  end;
  return v_ids[1];
end
$$;
comment on function private.enqueue(text, jsonb, timestamptz, text, text) is
  'security definer: users cause jobs but may not touch the queue. Called inside definer functions and triggers, and by '
  'service_role. Returns the job''s id; null when p_queueing_lock is waiting already. p_lock: jobs of one lock run one '
  'after another.';
revoke execute on function private.enqueue(text, jsonb, timestamptz, text, text)
  from public, anon, authenticated, service_role;
grant execute on function private.enqueue(text, jsonb, timestamptz, text, text) to service_role;

-- schemas/10_identity/10_users.sql
create table if not exists public.users (
  id uuid not null primary key references auth.users (id) on delete cascade,
  email text not null unique,
  role public.user_role not null default 'client',
  first_name text,
  last_name text,
  phone text,
  avatar_url text,
  timezone text default 'UTC',
  language public.language not null default 'en',
  status public.user_status not null default 'active',
  created_at timestamptz not null default now(),
  updated_at timestamptz not null default now(),
  last_seen_at timestamptz,
  mfa_enabled boolean default false,
  mfa_secret text,
  mfa_backup_codes text[],
  mfa_verified_at timestamptz,
  mfa_setup_completed boolean default false,
  remember_device_enabled boolean default false,
  constraint users_timezone_known check (timezone is null or private.is_time_zone(timezone))
);

comment on table public.users is 'A person: profile, app role and state. Rows come from sign-up; the role is never chosen by the person.';
comment on column public.users.role is 'What the person is in Loom. Changed only by public.set_user_role; no token or sign-up metadata sets it.';
comment on column public.users.status is 'Only active users get anything from any policy.';
comment on column public.users.mfa_secret is 'Left by earlier versions and granted to nobody. Loom keeps second factors in private.credentials.';

do $$
begin
  if not exists (select from pg_constraint where conrelid = 'public.users'::regclass and conname = 'users_timezone_known') then
    alter table public.users
      add constraint users_timezone_known check (timezone is null or private.is_time_zone(timezone));
  end if;
end;
$$;

create unique index if not exists users_email_lower_key on public.users (lower(email));
create index if not exists idx_users_created_at_date on public.users (((created_at at time zone 'UTC')::date));
create index if not exists idx_users_email on public.users (email);
create index if not exists idx_users_id_email on public.users (id, email);
create index if not exists idx_users_last_seen_at_date on public.users (((last_seen_at at time zone 'UTC')::date))
  where last_seen_at is not null;
create index if not exists idx_users_mfa_enabled on public.users (mfa_enabled);
create index if not exists idx_users_role on public.users (role);
create index if not exists idx_users_status on public.users (status);

revoke all on public.users from public, anon, authenticated, service_role;
grant select (
  id, email, role, first_name, last_name, phone, avatar_url, timezone, language, status, created_at, updated_at, last_seen_at
) on public.users to authenticated;
grant update (first_name, last_name, phone, avatar_url, timezone, language) on public.users to authenticated;
grant select, insert, update, delete on public.users to service_role;

alter table public.users enable row level security;

drop trigger if exists users_touch on public.users;
create trigger users_touch before update on public.users
for each row execute function private.touch_updated_at();

-- schemas/10_identity/20_caller.sql
create or replace function private.me()
returns uuid
language sql
stable
security definer
set search_path = ''
as $$
  select u.id from public.users as u where u.id = private.token_subject() and u.status = 'active'
$$;
comment on function private.me() is
  'security definer: policies of users call it, so it must read users without them. The active user the token speaks for, else null.';
revoke execute on function private.me() from public, anon, authenticated, service_role;
grant execute on function private.me() to authenticated, service_role;

create or replace function private.i_am_admin()
returns boolean
language sql
stable
security definer
set search_path = ''
as $$
  select exists (
    select from public.users as u where u.id = private.token_subject() and u.status = 'active' and u.role = 'admin'
  )
$$;
comment on function private.i_am_admin() is
  'security definer: policies of users call it, so it must read users without them. Whether the active user is an admin.';
revoke execute on function private.i_am_admin() from public, anon, authenticated, service_role;
grant execute on function private.i_am_admin() to authenticated, service_role;

create or replace function private.i_am_coach()
returns boolean
language sql
stable
security definer
set search_path = ''
as $$
  select exists (
    select from public.users as u where u.id = private.token_subject() and u.status = 'active' and u.role = 'coach'
  )
$$;
comment on function private.i_am_coach() is
  'security definer: policies of users call it, so it must read users without them. Whether the active user is a coach.';
revoke execute on function private.i_am_coach() from public, anon, authenticated, service_role;
grant execute on function private.i_am_coach() to authenticated, service_role;

-- schemas/10_identity/30_identity_events.sql
create table if not exists private.identity_events (
  id uuid primary key default gen_random_uuid(),
  user_id uuid references public.users (id) on delete set null,
  actor_id uuid references public.users (id) on delete set null,
  event text not null,
  details jsonb not null default '{}',
  created_at timestamptz not null default now(),
  constraint identity_events_event_check check (event ~ '^[a-z_]{3,60}$'),
  constraint identity_events_details_check check (jsonb_typeof(details) = 'object')
);
comment on table private.identity_events is
  'What happened to accounts: role and state changes, refused sign-ups, repairs of profiles. Only ever appended to.';
create index if not exists identity_events_user_id_idx on private.identity_events (user_id, created_at);
create index if not exists identity_events_actor_id_idx on private.identity_events (actor_id);

revoke all on private.identity_events from public, anon, authenticated, service_role;
grant select, insert on private.identity_events to service_role;
alter table private.identity_events enable row level security;

-- schemas/10_identity/40_users_policies.sql
drop policy if exists users_select_own on public.users;
create policy users_select_own on public.users for select to authenticated
using (id = (select private.me()));
comment on policy users_select_own on public.users is 'Everybody reads their own profile.';

drop policy if exists users_select_admin on public.users;
create policy users_select_admin on public.users for select to authenticated
using ((select private.i_am_admin()));
comment on policy users_select_admin on public.users is 'An admin reads every profile.';

drop policy if exists users_update_own on public.users;
create policy users_update_own on public.users for update to authenticated
using (id = (select private.me()))
with check (id = (select private.me()));
comment on policy users_update_own on public.users is
  'Everybody changes their own profile: names, phone, picture, zone and language. Role, state and address are not granted.';

-- schemas/10_identity/50_credentials.sql
create table if not exists private.credentials (
  user_id uuid primary key references public.users (id) on delete cascade,
  password_hash text,
  email_verified_at timestamptz,
  totp_secret text,
  totp_confirmed_at timestamptz,
  totp_last_counter bigint,
  failed_attempts integer not null default 0,
  locked_until timestamptz,
  recovery_codes text[] not null default '{}',
  created_at timestamptz not null default now(),
  updated_at timestamptz not null default now(),
  constraint credentials_failed_attempts_check check (failed_attempts >= 0),
  constraint credentials_totp_check check (totp_confirmed_at is null or totp_secret is not null)
);
comment on table private.credentials is
  'How a person signs in to Loom''s own issuer. Read by the service role only; empty where Supabase signs people in.';
comment on column private.credentials.totp_last_counter is 'The step of the last accepted one-time code: no code is accepted twice.';
comment on column private.credentials.recovery_codes is 'sha256 of codes not used yet, in hex.';

revoke all on private.credentials from public, anon, authenticated, service_role;
grant select, insert, update, delete on private.credentials to service_role;
alter table private.credentials enable row level security;

drop trigger if exists credentials_touch on private.credentials;
create trigger credentials_touch before update on private.credentials
for each row execute function private.touch_updated_at();

create table if not exists private.auth_sessions (
  id uuid primary key default gen_random_uuid(),
  user_id uuid not null references public.users (id) on delete cascade,
  refresh_token_hash text not null unique,
  previous_hash text,
  created_at timestamptz not null default now(),
  updated_at timestamptz not null default now(),
  expires_at timestamptz not null,
  revoked_at timestamptz,
  revoked_reason text,
  user_agent text
);
comment on table private.auth_sessions is
  'A sign-in that can be refreshed. Tokens are kept as sha256; a hash used a second time revokes the sign-in.';
create index if not exists auth_sessions_user_id_idx on private.auth_sessions (user_id);
create index if not exists auth_sessions_previous_hash_idx on private.auth_sessions (previous_hash) where previous_hash is not null;

revoke all on private.auth_sessions from public, anon, authenticated, service_role;
grant select, insert, update, delete on private.auth_sessions to service_role;
alter table private.auth_sessions enable row level security;

drop trigger if exists auth_sessions_touch on private.auth_sessions;
create trigger auth_sessions_touch before update on private.auth_sessions
for each row execute function private.touch_updated_at();

create table if not exists private.one_time_tokens (
  token_hash text primary key,
  user_id uuid not null references public.users (id) on delete cascade,
  purpose text not null,
  email text not null,
  expires_at timestamptz not null,
  used_at timestamptz,
  created_at timestamptz not null default now(),
  constraint one_time_tokens_purpose_check check (purpose ~ '^[a-z_]{3,40}$')
);
comment on table private.one_time_tokens is
  'A link mailed to somebody: verify an address, reset a password. Kept as sha256, used once, bound to the address it was mailed to.';
create index if not exists one_time_tokens_user_id_idx on private.one_time_tokens (user_id, purpose);

revoke all on private.one_time_tokens from public, anon, authenticated, service_role;
grant select, insert, update, delete on private.one_time_tokens to service_role;
alter table private.one_time_tokens enable row level security;

-- schemas/10_identity/60_idempotency_keys.sql
create table if not exists private.idempotency_keys (
  scope text not null,
  key text not null,
  fingerprint text not null,
  response_status integer,
  response_headers jsonb,
  response_body bytea,
  created_at timestamptz not null default now(),
  primary key (scope, key),
  constraint idempotency_keys_key_check check (char_length(key) between 1 and 255)
);
comment on table private.idempotency_keys is
  'The first answer to each Idempotency-Key of each caller, written in the transaction of the change itself, so both stand or neither.';
comment on column private.idempotency_keys.scope is 'Whose key it is: the user''s id, or what an anonymous route chose.';
comment on column private.idempotency_keys.fingerprint is 'Hash of method, path and body: the same key for another request is refused.';
create index if not exists idempotency_keys_created_at_idx on private.idempotency_keys (created_at);

revoke all on private.idempotency_keys from public, anon, authenticated, service_role;
grant select, insert, update, delete on private.idempotency_keys to service_role;
alter table private.idempotency_keys enable row level security;

create or replace function private.claim_idempotency_key(p_key text, p_fingerprint text)
returns table (is_new boolean, response_status integer, response_headers jsonb, response_body bytea)
language plpgsql
security definer
set search_path = ''
as $$
declare
  whose text := private.me()::text;
  found_row private.idempotency_keys%rowtype;
begin
  if whose is null then
    perform private.fail(401, 'not_signed_in', 'Sign in to use an Idempotency-Key here.');
  end if;
  -- A second request with the key waits here for the first one's transaction, then reads its answer.
  insert into private.idempotency_keys (scope, key, fingerprint) values (whose, p_key, p_fingerprint)
  on conflict (scope, key) do nothing;
  if found then
    return query select true, null::integer, null::jsonb, null::bytea;
    return;
  end if;
  select * into found_row from private.idempotency_keys as k where k.scope = whose and k.key = p_key;
  if found_row.fingerprint is distinct from p_fingerprint then
    perform private.fail(422, 'idempotency_key_reused', 'The Idempotency-Key was used for another request.');
  end if;
  return query select false, found_row.response_status, found_row.response_headers, found_row.response_body;
end;
$$;
comment on function private.claim_idempotency_key(text, text) is
  'security definer: callers must not read stored answers but their own. Takes the caller''s key, or gives the first answer to it.';
revoke execute on function private.claim_idempotency_key(text, text) from public, anon, authenticated, service_role;
grant execute on function private.claim_idempotency_key(text, text) to authenticated, service_role;

create or replace function private.keep_idempotent_answer(
  p_key text, p_status integer, p_headers jsonb, p_body bytea
)
returns void
language sql
security definer
set search_path = ''
as $$
  update private.idempotency_keys
  set response_status = p_status, response_headers = p_headers, response_body = p_body
  where scope = private.me()::text and key = p_key and response_status is null
$$;
comment on function private.keep_idempotent_answer(text, integer, jsonb, bytea) is
  'security definer: callers must not write stored answers but their own. Keeps the answer of the key claimed in this transaction.';
revoke execute on function private.keep_idempotent_answer(text, integer, jsonb, bytea)
from public, anon, authenticated, service_role;
grant execute on function private.keep_idempotent_answer(text, integer, jsonb, bytea) to authenticated, service_role;

-- schemas/10_identity/70_rate_limits.sql
create table if not exists private.rate_limits (
  bucket text not null,
  window_start timestamptz not null,
  hits integer not null default 0,
  primary key (bucket, window_start),
  constraint rate_limits_hits_check check (hits >= 0)
);
comment on table private.rate_limits is
  'How often something was tried in a window, counted in the database so that all processes count together.';
create index if not exists rate_limits_window_start_idx on private.rate_limits (window_start);

revoke all on private.rate_limits from public, anon, authenticated, service_role;
grant select, insert, update, delete on private.rate_limits to service_role;
alter table private.rate_limits enable row level security;

create or replace function private.hit_rate_limit(p_bucket text, p_limit integer, p_window_seconds integer)
returns integer
language plpgsql
security invoker
set search_path = ''
as $$
declare
  window_began timestamptz :=
    to_timestamp(floor(extract(epoch from clock_timestamp()) / p_window_seconds) * p_window_seconds);
  counted integer;
begin
  insert into private.rate_limits as r (bucket, window_start, hits) values (p_bucket, window_began, 1)
  on conflict (bucket, window_start) do update set hits = r.hits + 1
  returning r.hits into counted;
  if counted <= p_limit then
    return 0;
  end if;
  return greatest(1, ceil(extract(epoch from window_began) + p_window_seconds - extract(epoch from clock_timestamp()))::integer);
end;
$$;
comment on function private.hit_rate_limit(text, integer, integer) is
  'Counts one try; 0 when it is within the limit, else the seconds to wait for the next window.';
revoke execute on function private.hit_rate_limit(text, integer, integer) from public, anon, authenticated, service_role;
grant execute on function private.hit_rate_limit(text, integer, integer) to service_role;

-- schemas/10_identity/80_sign_up.sql
create or replace function private.clean_name(p_value jsonb)
returns text
language sql
immutable
security invoker
set search_path = ''
as $$
  -- Sign-up metadata is whatever the caller typed: only short plain text survives.
  select case
    when jsonb_typeof(p_value) = 'string' and char_length(btrim(p_value #>> '{}')) between 1 and 100
      and btrim(p_value #>> '{}') !~ '[[:cntrl:]<>]'
    then btrim(p_value #>> '{}')
  end
$$;
comment on function private.clean_name(jsonb) is 'A name from sign-up metadata, or null when it is not short plain text.';
revoke execute on function private.clean_name(jsonb) from public, anon, authenticated, service_role;

create or replace function private.handle_new_user()
returns trigger
language plpgsql
security definer
set search_path = ''
as $$
declare
  meta jsonb := case when jsonb_typeof(new.raw_user_meta_data) = 'object' then new.raw_user_meta_data else '{}'::jsonb end;
  zone text := meta ->> 'timezone';
  tongue text := meta ->> 'language';
begin
  -- Accounts without an address (signed up by phone) get their profile when one is confirmed.
  if new.email is null or exists (select from public.users as u where u.id = new.id) then
    return new;
  end if;
  -- The address may already belong to a profile (another sign-in service, an import). Handing that profile to the new account
  -- would let anyone take it over, and stopping the sign-up would tell a stranger that the address is known. So the account
  -- stands without a profile, which no policy gives anything, and the event is kept for the operator.
  if exists (select from public.users as u where lower(u.email) = lower(new.email)) then
    insert into private.identity_events (event, details)
    values ('sign_up_address_taken', jsonb_build_object('auth_user_id', new.id));
    return new;
  end if;
  insert into public.users (id, email, role, first_name, last_name, phone, timezone, language)
  values (
    new.id,
    new.email,
    -- Never from the metadata: whoever signs up writes that.
    'client',
    private.clean_name(meta -> 'first_name'),
    private.clean_name(meta -> 'last_name'),
    case when meta ->> 'phone' ~ '^\+?[0-9 ()./-]{5,30}$' then btrim(meta ->> 'phone') end,
    case when private.is_time_zone(zone) then zone else 'UTC' end,
    case when tongue in ('en', 'he') then tongue::public.language else 'en'::public.language end
  );
  return new;
end;
$$;
comment on function private.handle_new_user() is
  'security definer: the sign-in service''s role may not write users. Trigger: makes the profile of a new account, always as a client.';
revoke execute on function private.handle_new_user() from public, anon, authenticated, service_role;

-- Replaced, not dropped: the owner of Loom's tables may put triggers on auth.users but does not own it.
create or replace trigger on_auth_user_created after insert on auth.users
for each row execute function private.handle_new_user();

-- schemas/10_identity/85_create_account.sql
create or replace function private.create_account(p_email text, p_profile jsonb default '{}')
returns uuid
language plpgsql
security invoker
set search_path = ''
as $$
declare
  account uuid;
begin
  -- The trigger on auth.users makes the profile, always as a client.
  insert into auth.users (id, aud, role, email, raw_app_meta_data, raw_user_meta_data, created_at, updated_at)
  values (
    gen_random_uuid(), 'authenticated', 'authenticated', lower(p_email),
    '{"provider": "loom", "providers": ["loom"]}', p_profile, now(), now()
  )
  returning id into account;
  return account;
end;
$$;
comment on function private.create_account(text, jsonb) is
  'An account of Loom''s own issuer with its profile; the caller''s own right to auth.users decides whether it may.';
revoke execute on function private.create_account(text, jsonb) from public, anon, authenticated, service_role;
grant execute on function private.create_account(text, jsonb) to service_role;

-- schemas/10_identity/90_set_user_role.sql
create or replace function private.keep_an_admin(p_user_id uuid)
returns void
language plpgsql
security definer
set search_path = ''
as $$
begin
  -- Locking all admins makes two admins who demote each other at once wait for one another.
  perform u.id from public.users as u where u.role = 'admin' and u.status = 'active' order by u.id for update;
  if not exists (
    select from public.users as u where u.role = 'admin' and u.status = 'active' and u.id <> p_user_id
  ) then
    perform private.fail(409, 'last_admin', 'This is the last active admin.', 'Make somebody else an admin first.');
  end if;
end;
$$;
comment on function private.keep_an_admin(uuid) is
  'security definer: called inside set_user_role and set_user_status. Refuses to lose the last active admin.';
revoke execute on function private.keep_an_admin(uuid) from public, anon, authenticated, service_role;

create or replace function public.set_user_role(p_user_id uuid, p_role public.user_role, p_reason text default null)
returns void
language plpgsql
security definer
set search_path = ''
as $$
declare
  before public.user_role;
begin
  if private.acting_as_api() and not private.i_am_admin() then
    perform private.fail(404, 'not_found', 'There is no such thing, or it is not yours.');
  end if;
  select u.role into before from public.users as u where u.id = p_user_id;
  if not found then
    perform private.fail(404, 'not_found', 'There is no such thing, or it is not yours.');
  end if;
  if before = p_role then
    return;
  end if;
  if before = 'admin' then
    perform private.keep_an_admin(p_user_id);
  end if;
  update public.users set role = p_role where id = p_user_id;
  insert into private.identity_events (user_id, actor_id, event, details)
  values (p_user_id, private.me(), 'role_changed', jsonb_build_object('from', before, 'to', p_role, 'reason', p_reason));
end;
$$;
comment on function public.set_user_role(uuid, public.user_role, text) is
  'security definer: nobody holds an update grant on users.role. An admin, or the service role, gives a person another role; kept in the audit.';
revoke execute on function public.set_user_role(uuid, public.user_role, text) from public, anon, authenticated, service_role;
grant execute on function public.set_user_role(uuid, public.user_role, text) to authenticated, service_role;

create or replace function public.set_user_status(p_user_id uuid, p_status public.user_status, p_reason text default null)
returns void
language plpgsql
security definer
set search_path = ''
as $$
declare
  before public.user_status;
  its_role public.user_role;
begin
  if private.acting_as_api() and not private.i_am_admin() then
    perform private.fail(404, 'not_found', 'There is no such thing, or it is not yours.');
  end if;
  select u.status, u.role into before, its_role from public.users as u where u.id = p_user_id;
  if not found then
    perform private.fail(404, 'not_found', 'There is no such thing, or it is not yours.');
  end if;
  if before = p_status then
    return;
  end if;
  if its_role = 'admin' and before = 'active' then
    perform private.keep_an_admin(p_user_id);
  end if;
  update public.users set status = p_status where id = p_user_id;
  if p_status <> 'active' then
    update private.auth_sessions set revoked_at = now(), revoked_reason = 'status_' || p_status
    where user_id = p_user_id and revoked_at is null;
  end if;
  insert into private.identity_events (user_id, actor_id, event, details)
  values (p_user_id, private.me(), 'status_changed', jsonb_build_object('from', before, 'to', p_status, 'reason', p_reason));
end;
$$;
comment on function public.set_user_status(uuid, public.user_status, text) is
  'security definer: nobody holds an update grant on users.status. An admin, or the service role, suspends or restores a person; kept in the audit.';
revoke execute on function public.set_user_status(uuid, public.user_status, text) from public, anon, authenticated, service_role;
grant execute on function public.set_user_status(uuid, public.user_status, text) to authenticated, service_role;

-- schemas/20_practice/10_practices.sql
create table if not exists public.practices (
  id uuid primary key default gen_random_uuid(),
  name text not null,
  legal_name text,
  tax_id text,
  email text,
  phone text,
  address text,
  country text not null default 'IL',
  timezone text not null default 'Asia/Jerusalem',
  language public.language not null default 'en',
  currency text not null default 'ILS',
  tax_rate_bp integer not null default 0,
  invoice_due_days integer not null default 14,
  metadata jsonb not null default '{}',
  created_at timestamptz not null default now(),
  updated_at timestamptz not null default now(),
  constraint practices_name_check check (char_length(btrim(name)) between 1 and 200),
  constraint practices_country_check check (country ~ '^[A-Z]{2}$'),
  constraint practices_timezone_check check (private.is_time_zone(timezone)),
  constraint practices_currency_check check (private.is_currency(currency)),
  constraint practices_tax_rate_bp_check check (tax_rate_bp between 0 and 10000),
  constraint practices_invoice_due_days_check check (invoice_due_days between 0 and 365),
  constraint practices_text_lengths_check check (
    coalesce(char_length(legal_name), 0) <= 200 and coalesce(char_length(tax_id), 0) <= 40
    and coalesce(char_length(email), 0) <= 320 and coalesce(char_length(phone), 0) <= 40
    and coalesce(char_length(address), 0) <= 500
  ),
  constraint practices_metadata_check check (jsonb_typeof(metadata) = 'object')
);
comment on table public.practices is 'The legal entity that issues documents and receives money. Made with each coach; coaches may share one.';
comment on column public.practices.tax_rate_bp is 'Tax put on new documents, in basis points (1800 is 18 %). A document keeps the rate it was made with.';

revoke all on public.practices from public, anon, authenticated, service_role;
grant select on public.practices to authenticated;
grant update (
  name, legal_name, tax_id, email, phone, address, country, timezone, language, currency, tax_rate_bp, invoice_due_days
) on public.practices to authenticated;
grant select, insert, update, delete on public.practices to service_role;
alter table public.practices enable row level security;

drop trigger if exists practices_touch on public.practices;
create trigger practices_touch before update on public.practices
for each row execute function private.touch_updated_at();

create table if not exists public.practice_members (
  id uuid primary key default gen_random_uuid(),
  practice_id uuid not null references public.practices (id) on delete cascade,
  user_id uuid not null unique references public.users (id) on delete cascade,
  role text not null default 'owner',
  created_at timestamptz not null default now(),
  updated_at timestamptz not null default now(),
  constraint practice_members_role_check check (role in ('owner', 'coach'))
);
comment on table public.practice_members is 'Which practice a coach works in: one each. An owner changes the practice''s settings.';
create index if not exists practice_members_practice_id_idx on public.practice_members (practice_id);

revoke all on public.practice_members from public, anon, authenticated, service_role;
grant select on public.practice_members to authenticated;
grant select, insert, update, delete on public.practice_members to service_role;
alter table public.practice_members enable row level security;

drop trigger if exists practice_members_touch on public.practice_members;
create trigger practice_members_touch before update on public.practice_members
for each row execute function private.touch_updated_at();

create or replace function private.my_practice_ids()
returns uuid[]
language sql
stable
security definer
set search_path = ''
as $$
  select coalesce(array_agg(m.practice_id), '{}') from public.practice_members as m where m.user_id = private.me()
$$;
comment on function private.my_practice_ids() is
  'security definer: policies of practice_members call it. The practices the active user works in.';
revoke execute on function private.my_practice_ids() from public, anon, authenticated, service_role;
grant execute on function private.my_practice_ids() to authenticated, service_role;

create or replace function private.my_owned_practice_ids()
returns uuid[]
language sql
stable
security definer
set search_path = ''
as $$
  select coalesce(array_agg(m.practice_id), '{}')
  from public.practice_members as m
  where m.user_id = private.me() and m.role = 'owner'
$$;
comment on function private.my_owned_practice_ids() is
  'security definer: policies of practices call it. The practices whose settings the active user may change.';
revoke execute on function private.my_owned_practice_ids() from public, anon, authenticated, service_role;
grant execute on function private.my_owned_practice_ids() to authenticated, service_role;

drop policy if exists practices_select_member on public.practices;
create policy practices_select_member on public.practices for select to authenticated
using (id = any ((select private.my_practice_ids())::uuid[]) or (select private.i_am_admin()));
comment on policy practices_select_member on public.practices is 'A practice''s people, and an admin, read it.';

drop policy if exists practices_update_owner on public.practices;
create policy practices_update_owner on public.practices for update to authenticated
using (id = any ((select private.my_owned_practice_ids())::uuid[]))
with check (id = any ((select private.my_owned_practice_ids())::uuid[]));
comment on policy practices_update_owner on public.practices is 'Its owners change its settings.';

drop policy if exists practice_members_select_member on public.practice_members;
create policy practice_members_select_member on public.practice_members for select to authenticated
using (practice_id = any ((select private.my_practice_ids())::uuid[]) or (select private.i_am_admin()));
comment on policy practice_members_select_member on public.practice_members is 'A practice''s people, and an admin, read who works in it.';

-- schemas/20_practice/20_make_practice.sql
create or replace function private.ensure_practice(p_coach_id uuid)
returns uuid
language plpgsql
security definer
set search_path = ''
as $$
declare
  the_practice uuid;
  coach public.users%rowtype;
begin
  select * into coach from public.users as u where u.id = p_coach_id for no key update;
  select m.practice_id into the_practice from public.practice_members as m where m.user_id = p_coach_id;
  if the_practice is not null or coach.id is null then
    return the_practice;
  end if;
  insert into public.practices (name, email, timezone, language)
  values (
    left(coalesce(nullif(btrim(concat_ws(' ', coach.first_name, coach.last_name)), ''), split_part(coach.email, '@', 1), 'Practice'), 200),
    left(coach.email, 320),
    -- UTC is what a profile says that nobody has touched.
    case when coalesce(coach.timezone, 'UTC') = 'UTC' then 'Asia/Jerusalem' else coach.timezone end,
    coach.language
  )
  returning id into the_practice;
  insert into public.practice_members (practice_id, user_id, role) values (the_practice, p_coach_id, 'owner');
  return the_practice;
end;
$$;
comment on function private.ensure_practice(uuid) is
  'security definer: nobody may insert practices. The practice of a coach, made when there is none.';
revoke execute on function private.ensure_practice(uuid) from public, anon, authenticated, service_role;
grant execute on function private.ensure_practice(uuid) to service_role;

create or replace function private.make_practice_of_coach()
returns trigger
language plpgsql
security definer
set search_path = ''
as $$
begin
  perform private.ensure_practice(new.id);
  return null;
end;
$$;
comment on function private.make_practice_of_coach() is
  'security definer: nobody may insert practices. Trigger: every coach has a practice from the first moment.';
revoke execute on function private.make_practice_of_coach() from public, anon, authenticated, service_role;

drop trigger if exists users_make_practice on public.users;
create trigger users_make_practice after insert or update of role on public.users
for each row when (new.role = 'coach') execute function private.make_practice_of_coach();

-- schemas/20_practice/30_coach_clients.sql
create table if not exists public.coach_clients (
  id uuid primary key default gen_random_uuid(),
  coach_id uuid not null references public.users (id) on delete cascade,
  client_id uuid references public.users (id) on delete set null,
  email text,
  display_name text,
  phone text,
  status text not null default 'active',
  source text not null default 'manual',
  invited_at timestamptz,
  accepted_at timestamptz,
  ended_at timestamptz,
  metadata jsonb not null default '{}',
  created_at timestamptz not null default now(),
  updated_at timestamptz not null default now(),
  constraint coach_clients_coach_id_client_id_key unique (coach_id, client_id),
  constraint coach_clients_different_people_check check (client_id is null or client_id <> coach_id),
  constraint coach_clients_somebody_check check (client_id is not null or email is not null or display_name is not null),
  constraint coach_clients_status_check check (status in ('invited', 'active', 'ended')),
  constraint coach_clients_source_check check (source in ('manual', 'invitation', 'booking', 'session')),
  constraint coach_clients_email_check check (
    email is null or (char_length(email) between 3 and 320 and email ~ '^[^@[:space:][:cntrl:]]+@[^@[:space:][:cntrl:]]+$')
  ),
  constraint coach_clients_display_name_check check (display_name is null or char_length(btrim(display_name)) between 1 and 200),
  constraint coach_clients_phone_check check (phone is null or char_length(phone) between 3 and 40),
  constraint coach_clients_metadata_check check (jsonb_typeof(metadata) = 'object')
);
comment on table public.coach_clients is
  'That somebody is a coach''s client: by booking, invitation or by hand, before they have an account too. Not implied by a session.';
comment on column public.coach_clients.client_id is 'The client''s account, once they accepted or verified the address; null before.';
comment on column public.coach_clients.status is 'invited: asked and not answered; active: a client, with or without an account; ended: no longer.';

create unique index if not exists coach_clients_coach_id_email_key on public.coach_clients (coach_id, lower(email));
create index if not exists coach_clients_client_id_idx on public.coach_clients (client_id);
create index if not exists coach_clients_unlinked_email_idx on public.coach_clients (lower(email)) where client_id is null;
create index if not exists coach_clients_coach_id_created_at_idx on public.coach_clients (coach_id, created_at desc, id desc);

revoke all on public.coach_clients from public, anon, authenticated, service_role;
grant select on public.coach_clients to authenticated;
grant insert (coach_id, email, display_name, phone, status, source) on public.coach_clients to authenticated;
grant update (email, display_name, phone, status) on public.coach_clients to authenticated;
grant select, insert, update, delete on public.coach_clients to service_role;
alter table public.coach_clients enable row level security;

create or replace function private.my_client_ids()
returns uuid[]
language sql
stable
security definer
set search_path = ''
as $$
  select coalesce(array_agg(c.client_id), '{}')
  from public.coach_clients as c
  where c.coach_id = private.me() and c.client_id is not null and c.status = 'active'
$$;
comment on function private.my_client_ids() is
  'security definer: policies of users and coach_clients call it. The accounts that are clients of the active user.';
revoke execute on function private.my_client_ids() from public, anon, authenticated, service_role;
grant execute on function private.my_client_ids() to authenticated, service_role;

create or replace function private.my_coach_ids()
returns uuid[]
language sql
stable
security definer
set search_path = ''
as $$
  select coalesce(array_agg(c.coach_id), '{}')
  from public.coach_clients as c
  where c.client_id = private.me() and c.status = 'active'
$$;
comment on function private.my_coach_ids() is
  'security definer: policies of users and coach_clients call it. The coaches of the active user.';
revoke execute on function private.my_coach_ids() from public, anon, authenticated, service_role;
grant execute on function private.my_coach_ids() to authenticated, service_role;

drop policy if exists coach_clients_select_party on public.coach_clients;
create policy coach_clients_select_party on public.coach_clients for select to authenticated
using (coach_id = (select private.me()) or client_id = (select private.me()) or (select private.i_am_admin()));
comment on policy coach_clients_select_party on public.coach_clients is 'The coach, the client and an admin read the relation.';

drop policy if exists coach_clients_insert_coach on public.coach_clients;
create policy coach_clients_insert_coach on public.coach_clients for insert to authenticated
with check (coach_id = (select private.me()) and (select private.i_am_coach()));
comment on policy coach_clients_insert_coach on public.coach_clients is
  'A coach adds clients of their own by name and address. Accounts are tied by the person, not by the coach.';

drop policy if exists coach_clients_update_coach on public.coach_clients;
create policy coach_clients_update_coach on public.coach_clients for update to authenticated
using (coach_id = (select private.me()))
with check (coach_id = (select private.me()));
comment on policy coach_clients_update_coach on public.coach_clients is 'The coach keeps name, address and phone, and ends or resumes the relation.';

drop policy if exists users_select_relations on public.users;
create policy users_select_relations on public.users for select to authenticated
using (id = any ((select private.my_client_ids())::uuid[]) or id = any ((select private.my_coach_ids())::uuid[]));
comment on policy users_select_relations on public.users is 'A coach reads profiles of present clients, a client those of present coaches.';

create or replace function private.guard_coach_client()
returns trigger
language plpgsql
security definer
set search_path = ''
as $$
begin
  new.email := lower(btrim(new.email));
  new.display_name := btrim(new.display_name);
  if tg_op = 'INSERT' then
    if private.acting_as_api() then
      if new.status not in ('active', 'invited') or new.source not in ('manual', 'invitation') then
        perform private.fail(422, 'client_state_invalid', 'A client is added as active or invited, by hand or by invitation.');
      end if;
      if new.status = 'invited' and new.email is null then
        perform private.fail(422, 'client_email_missing', 'An invitation needs an e-mail address.');
      end if;
    end if;
  elsif private.acting_as_api() then
    if new.email is distinct from old.email and old.client_id is not null then
      perform private.fail(409, 'client_has_account', 'This client has an account: its address is theirs to change.');
    end if;
    if old.status <> new.status and new.status = 'invited' and new.email is null then
      perform private.fail(422, 'client_email_missing', 'An invitation needs an e-mail address.');
    end if;
    -- An invitation becomes a relation by the person's answer; whoever ended it is asked again.
    if old.status <> new.status and new.status = 'active' and new.client_id is not null
      and (old.status = 'invited' or old.metadata ? 'ended_by_client') and private.me() is distinct from new.client_id then
      perform private.fail(409, 'invitation_open', 'Only the invited person can accept an invitation.');
    end if;
  end if;
  if new.status = 'invited' and new.invited_at is null then
    new.invited_at := now();
  end if;
  if new.status = 'ended' and new.ended_at is null then
    new.ended_at := now();
  elsif new.status <> 'ended' then
    new.ended_at := null;
  end if;
  return new;
end;
$$;
comment on function private.guard_coach_client() is
  'security definer: reads the active user while policies of the table run. Trigger: normalises addresses and holds API users to the states of a relation.';
revoke execute on function private.guard_coach_client() from public, anon, authenticated, service_role;

drop trigger if exists coach_clients_guard on public.coach_clients;
create trigger coach_clients_guard before insert or update on public.coach_clients
for each row execute function private.guard_coach_client();
drop trigger if exists coach_clients_touch on public.coach_clients;
create trigger coach_clients_touch before update on public.coach_clients
for each row execute function private.touch_updated_at();

-- schemas/20_practice/40_relate.sql
create or replace function private.relate(p_coach_id uuid, p_client_id uuid, p_source text)
returns uuid
language plpgsql
security definer
set search_path = ''
as $$
declare
  relation uuid;
  address text;
begin
  if p_coach_id = p_client_id then
    return null;
  end if;
  insert into public.coach_clients (coach_id, client_id, status, source, accepted_at)
  values (p_coach_id, p_client_id, 'active', p_source, now())
  on conflict (coach_id, client_id) do nothing
  returning id into relation;
  if relation is null then
    select c.id into relation from public.coach_clients as c where c.coach_id = p_coach_id and c.client_id = p_client_id;
    if p_source = 'booking' then
      -- Whoever books again is a client again.
      update public.coach_clients
      set status = 'active', accepted_at = coalesce(accepted_at, now()), metadata = metadata - 'ended_by_client'
      where id = relation and status <> 'active';
    end if;
  end if;
  return relation;
end;
$$;
comment on function private.relate(uuid, uuid, text) is
  'security definer: nobody may tie accounts by hand. Makes somebody a coach''s client (source booking, invitation or session); gives the relation''s id.';
revoke execute on function private.relate(uuid, uuid, text) from public, anon, authenticated, service_role;
grant execute on function private.relate(uuid, uuid, text) to service_role;

-- schemas/20_practice/50_coach_availability.sql
create table if not exists public.coach_availability (
  id uuid not null primary key default gen_random_uuid(),
  coach_id uuid not null references public.users (id) on delete cascade,
  day_of_week integer not null,
  start_time time not null,
  end_time time not null,
  is_available boolean not null default true,
  timezone text not null default 'UTC',
  created_at timestamptz not null default now(),
  updated_at timestamptz not null default now(),
  buffer_before_minutes integer default 0,
  buffer_after_minutes integer default 0,
  max_bookings_per_slot integer default 1,
  constraint coach_availability_coach_id_day_of_week_start_time_end_time_key unique (coach_id, day_of_week, start_time, end_time),
  constraint coach_availability_day_of_week_check check (day_of_week >= 0 and day_of_week <= 6),
  constraint coach_availability_valid_time check (start_time < end_time)
);
comment on table public.coach_availability is
  'The hours of a coach''s week in which people may book: wall time in a zone. Read through free slots, not by clients.';
comment on column public.coach_availability.day_of_week is '0 is Sunday, 6 is Saturday.';
comment on column public.coach_availability.end_time is 'Not included; 24:00 is the end of the day. A range does not cross midnight.';

create index if not exists idx_coach_availability_coach_id on public.coach_availability (coach_id);
create index if not exists idx_coach_availability_day_of_week on public.coach_availability (day_of_week);
create index if not exists idx_coach_availability_time_range
on public.coach_availability (coach_id, day_of_week, start_time, end_time, timezone) where is_available = true;
create index if not exists idx_coach_availability_timezone on public.coach_availability (timezone);

revoke all on public.coach_availability from public, anon, authenticated, service_role;
grant select, delete on public.coach_availability to authenticated;
grant insert (coach_id, day_of_week, start_time, end_time, is_available, timezone, buffer_before_minutes, buffer_after_minutes)
on public.coach_availability to authenticated;
grant update (day_of_week, start_time, end_time, is_available, timezone, buffer_before_minutes, buffer_after_minutes)
on public.coach_availability to authenticated;
grant select, insert, update, delete on public.coach_availability to service_role;
alter table public.coach_availability enable row level security;

drop policy if exists coach_availability_select_own on public.coach_availability;
create policy coach_availability_select_own on public.coach_availability for select to authenticated
using (coach_id = (select private.me()) or (select private.i_am_admin()));
comment on policy coach_availability_select_own on public.coach_availability is 'The coach and an admin read the week; others ask for free slots.';
drop policy if exists coach_availability_insert_own on public.coach_availability;
create policy coach_availability_insert_own on public.coach_availability for insert to authenticated
with check (coach_id = (select private.me()) and (select private.i_am_coach()));
comment on policy coach_availability_insert_own on public.coach_availability is 'A coach adds hours of their own.';
drop policy if exists coach_availability_update_own on public.coach_availability;
create policy coach_availability_update_own on public.coach_availability for update to authenticated
using (coach_id = (select private.me()))
with check (coach_id = (select private.me()));
comment on policy coach_availability_update_own on public.coach_availability is 'A coach changes hours of their own.';
drop policy if exists coach_availability_delete_own on public.coach_availability;
create policy coach_availability_delete_own on public.coach_availability for delete to authenticated
using (coach_id = (select private.me()));
comment on policy coach_availability_delete_own on public.coach_availability is 'A coach removes hours of their own.';

create or replace function private.guard_availability()
returns trigger
language plpgsql
security definer
set search_path = ''
as $$
begin
  if not private.is_time_zone(new.timezone) then
    perform private.fail(422, 'timezone_unknown', format('There is no time zone named %L.', left(new.timezone, 80)));
  end if;
  if coalesce(new.buffer_before_minutes, 0) not between 0 and 480 or coalesce(new.buffer_after_minutes, 0) not between 0 and 480 then
    perform private.fail(422, 'buffer_out_of_range', 'A buffer is 0 to 480 minutes.');
  end if;
  if new.is_available then
    -- Two writers of one week wait for one another here; old rows that overlap are left as they are.
    perform u.id from public.users as u where u.id = new.coach_id for no key update;
    if exists (
      select from public.coach_availability as a
      where a.coach_id = new.coach_id and a.day_of_week = new.day_of_week and a.timezone = new.timezone and a.is_available
        and a.id <> new.id and a.start_time < new.end_time and new.start_time < a.end_time
    ) then
      perform private.fail(409, 'availability_overlap', 'Two ranges of one day overlap.');
    end if;
  end if;
  return new;
end;
$$;
comment on function private.guard_availability() is
  'security definer: locks the coach''s row. Trigger: refuses unknown zones and overlapping hours.';
revoke execute on function private.guard_availability() from public, anon, authenticated, service_role;

drop trigger if exists coach_availability_guard on public.coach_availability;
create trigger coach_availability_guard before insert or update on public.coach_availability
for each row execute function private.guard_availability();
drop trigger if exists coach_availability_touch on public.coach_availability;
create trigger coach_availability_touch before update on public.coach_availability
for each row execute function private.touch_updated_at();

-- schemas/20_practice/60_set_availability.sql
create or replace function public.set_availability(p_timezone text, p_ranges jsonb)
returns setof public.coach_availability
language plpgsql
security invoker
set search_path = ''
as $$
declare
  coach uuid := private.me();
begin
  if coach is null or not private.i_am_coach() then
    perform private.fail(404, 'not_found', 'There is no such thing, or it is not yours.');
  end if;
  if jsonb_typeof(p_ranges) is distinct from 'array' or jsonb_array_length(p_ranges) > 168 then
    perform private.fail(422, 'availability_invalid', 'The week is a list of at most 168 ranges.');
  end if;
  -- Two weeks set at once come one after the other, and the later one sees what the earlier one left.
  perform u.id from public.users as u where u.id = coach for no key update;
  -- The whole week in one statement's transaction: nobody sees a coach without hours in between.
  delete from public.coach_availability as a where a.coach_id = coach;
  insert into public.coach_availability
    (coach_id, day_of_week, start_time, end_time, timezone, buffer_before_minutes, buffer_after_minutes)
  select
    coach, r.day_of_week, r.start_time, r.end_time, p_timezone,
    coalesce(r.buffer_before_minutes, 0), coalesce(r.buffer_after_minutes, 0)
  from jsonb_to_recordset(p_ranges) as r (
    day_of_week integer, start_time time, end_time time, buffer_before_minutes integer, buffer_after_minutes integer
  );
  return query
    select * from public.coach_availability as a where a.coach_id = coach order by a.day_of_week, a.start_time;
end;
$$;
comment on function public.set_availability(text, jsonb) is
  'Replaces the caller''s week by the ranges given: [{"day_of_week": 0, "start_time": "09:00", "end_time": "12:00"}], wall time in the zone.';
revoke execute on function public.set_availability(text, jsonb) from public, anon, authenticated, service_role;
grant execute on function public.set_availability(text, jsonb) to authenticated;

-- schemas/60_notifications/10_notifications.sql
create table if not exists public.notifications (
  id uuid not null primary key default gen_random_uuid(),
  user_id uuid not null references public.users (id) on delete cascade,
  type public.notification_type not null,
  title text not null,
  message text not null,
  data jsonb,
  read_at timestamptz,
  scheduled_for timestamptz,
  sent_at timestamptz,
  created_at timestamptz not null default now(),
  channel text default 'inapp',
  priority text default 'normal',
  expires_at timestamptz,
  action_url text,
  action_label text,
  template_id uuid,
  constraint notifications_channel_check check (channel = any (array['email'::text, 'inapp'::text, 'push'::text])),
  constraint notifications_priority_check check (
    priority = any (array['low'::text, 'normal'::text, 'high'::text, 'urgent'::text])
  )
);
comment on table public.notifications is 'What a person is told in Loom. Written by the database and the service, read and put away by the person.';
comment on column public.notifications.channel is 'inapp here, in_app in message deliveries: both spellings are older than this schema''s wish for one.';

create index if not exists idx_notifications_channel on public.notifications (channel);
create index if not exists idx_notifications_expires_at on public.notifications (expires_at);
create index if not exists idx_notifications_priority on public.notifications (priority);
create index if not exists idx_notifications_read_at on public.notifications (read_at);
create index if not exists idx_notifications_scheduled_for on public.notifications (scheduled_for);
create index if not exists idx_notifications_template_id_fk on public.notifications (template_id);
create index if not exists idx_notifications_type_channel_created on public.notifications (type, channel, created_at);
create index if not exists idx_notifications_user_id on public.notifications (user_id);
create index if not exists idx_notifications_user_unread on public.notifications (user_id, read_at) where read_at is null;
create index if not exists notifications_user_id_created_at_idx on public.notifications (user_id, created_at desc, id desc);

revoke all on public.notifications from public, anon, authenticated, service_role;
grant select, delete on public.notifications to authenticated;
grant update (read_at) on public.notifications to authenticated;
grant select, insert, update, delete on public.notifications to service_role;
alter table public.notifications enable row level security;

drop policy if exists notifications_select_own on public.notifications;
create policy notifications_select_own on public.notifications for select to authenticated
using (user_id = (select private.me()) or (select private.i_am_admin()));
comment on policy notifications_select_own on public.notifications is 'Everybody reads what they were told; an admin reads all.';
drop policy if exists notifications_update_own on public.notifications;
create policy notifications_update_own on public.notifications for update to authenticated
using (user_id = (select private.me()))
with check (user_id = (select private.me()));
comment on policy notifications_update_own on public.notifications is 'Everybody marks their own as read, or unread again.';
drop policy if exists notifications_delete_own on public.notifications;
create policy notifications_delete_own on public.notifications for delete to authenticated
using (user_id = (select private.me()));
comment on policy notifications_delete_own on public.notifications is 'Everybody puts away their own.';

create or replace function private.notify(
  p_user_id uuid,
  p_type public.notification_type,
  p_title text,
  p_message text,
  p_data jsonb default null,
  p_action_url text default null
)
returns uuid
language sql
security definer
set search_path = ''
as $$
  insert into public.notifications (user_id, type, title, message, data, action_url, sent_at)
  select u.id, p_type, left(p_title, 300), left(p_message, 2000), p_data, p_action_url, now()
  from public.users as u
  where u.id = p_user_id and u.status = 'active'
  returning id
$$;
comment on function private.notify(uuid, public.notification_type, text, text, jsonb, text) is
  'security definer: nobody may insert notifications. Tells a person something in Loom; called by other definer functions and the service.';
revoke execute on function private.notify(uuid, public.notification_type, text, text, jsonb, text)
from public, anon, authenticated, service_role;
grant execute on function private.notify(uuid, public.notification_type, text, text, jsonb, text) to service_role;

-- schemas/60_notifications/20_notification_preferences.sql
create table if not exists public.notification_preferences (
  id uuid not null primary key default gen_random_uuid(),
  user_id uuid not null unique references public.users (id) on delete cascade,
  email_enabled boolean not null default true,
  email_session_reminders boolean not null default true,
  email_session_updates boolean not null default true,
  email_messages boolean not null default true,
  email_system_updates boolean not null default false,
  email_marketing boolean not null default false,
  inapp_enabled boolean not null default true,
  inapp_session_reminders boolean not null default true,
  inapp_session_updates boolean not null default true,
  inapp_messages boolean not null default true,
  inapp_system_updates boolean not null default true,
  push_enabled boolean not null default false,
  push_session_reminders boolean not null default false,
  push_messages boolean not null default false,
  quiet_hours_enabled boolean not null default false,
  quiet_hours_start time default '22:00:00',
  quiet_hours_end time default '08:00:00',
  timezone text default 'UTC',
  digest_frequency text default 'daily',
  created_at timestamptz not null default now(),
  updated_at timestamptz not null default now(),
  constraint notification_preferences_digest_frequency_check check (
    digest_frequency = any (array['immediate'::text, 'hourly'::text, 'daily'::text, 'weekly'::text, 'never'::text])
  ),
  constraint notification_preferences_timezone_check check (timezone is null or private.is_time_zone(timezone))
);
comment on table public.notification_preferences is 'On which channels a person wants to hear of what, and when not. One row each, made with the profile.';

do $$
begin
  if not exists (
    select from pg_constraint
    where conrelid = 'public.notification_preferences'::regclass and conname = 'notification_preferences_timezone_check'
  ) then
    alter table public.notification_preferences
      add constraint notification_preferences_timezone_check check (timezone is null or private.is_time_zone(timezone));
  end if;
end;
$$;

create index if not exists idx_notification_preferences_user_id on public.notification_preferences (user_id);

revoke all on public.notification_preferences from public, anon, authenticated, service_role;
grant select on public.notification_preferences to authenticated;
grant update (
  email_enabled, email_session_reminders, email_session_updates, email_messages, email_system_updates, email_marketing,
  inapp_enabled, inapp_session_reminders, inapp_session_updates, inapp_messages, inapp_system_updates,
  push_enabled, push_session_reminders, push_messages,
  quiet_hours_enabled, quiet_hours_start, quiet_hours_end, timezone, digest_frequency
) on public.notification_preferences to authenticated;
grant select, insert, update, delete on public.notification_preferences to service_role;
alter table public.notification_preferences enable row level security;

drop policy if exists notification_preferences_select_own on public.notification_preferences;
create policy notification_preferences_select_own on public.notification_preferences for select to authenticated
using (user_id = (select private.me()) or (select private.i_am_admin()));
comment on policy notification_preferences_select_own on public.notification_preferences is 'Everybody reads their own choices; an admin reads all.';
drop policy if exists notification_preferences_update_own on public.notification_preferences;
create policy notification_preferences_update_own on public.notification_preferences for update to authenticated
using (user_id = (select private.me()))
with check (user_id = (select private.me()));
comment on policy notification_preferences_update_own on public.notification_preferences is 'Everybody changes their own choices.';

drop trigger if exists notification_preferences_touch on public.notification_preferences;
create trigger notification_preferences_touch before update on public.notification_preferences
for each row execute function private.touch_updated_at();

create or replace function private.make_notification_preferences()
returns trigger
language plpgsql
security definer
set search_path = ''
as $$
begin
  insert into public.notification_preferences (user_id, timezone) values (new.id, coalesce(new.timezone, 'UTC'))
  on conflict (user_id) do nothing;
  return null;
end;
$$;
comment on function private.make_notification_preferences() is
  'security definer: nobody may insert preferences. Trigger: every profile has its row of choices from the first moment.';
revoke execute on function private.make_notification_preferences() from public, anon, authenticated, service_role;

drop trigger if exists users_make_notification_preferences on public.users;
create trigger users_make_notification_preferences after insert on public.users
for each row execute function private.make_notification_preferences();

-- schemas/90_cross/10_link_person.sql
create or replace function private.link_person(p_user_id uuid)
returns void
language plpgsql
security definer
set search_path = ''
as $$
declare
  address text;
begin
  select lower(u.email) into address from public.users as u where u.id = p_user_id;
  if address is null then
    return;
  end if;
  -- A coach who already has a row for the account keeps that one: two rows for one pair would break the unique key.
  update public.coach_clients as c
  set client_id = p_user_id,
      status = case when c.status = 'ended' then 'ended' else 'active' end,
      accepted_at = coalesce(c.accepted_at, now())
  where c.client_id is null
    and lower(c.email) = address
    and c.coach_id <> p_user_id
    and not exists (
      select from public.coach_clients as other where other.coach_id = c.coach_id and other.client_id = p_user_id
    );
end;
$$;
comment on function private.link_person(uuid) is
  'security definer: ties rows of other people''s. Ties what coaches keep under an address to the account that has just proven it.';
revoke execute on function private.link_person(uuid) from public, anon, authenticated, service_role;
grant execute on function private.link_person(uuid) to service_role;

create or replace function private.link_verified_person()
returns trigger
language plpgsql
security definer
set search_path = ''
as $$
begin
  perform private.link_person(new.user_id);
  return null;
end;
$$;
comment on function private.link_verified_person() is
  'security definer: calls link_person. Trigger: an address verified with Loom''s own issuer ties what waits for it.';
revoke execute on function private.link_verified_person() from public, anon, authenticated, service_role;

drop trigger if exists credentials_link_person on private.credentials;
create trigger credentials_link_person after insert or update of email_verified_at on private.credentials
for each row when (new.email_verified_at is not null) execute function private.link_verified_person();

-- schemas/90_cross/20_confirmed_account.sql
create or replace function private.handle_changed_account()
returns trigger
language plpgsql
security definer
set search_path = ''
as $$
begin
  -- Supabase moves an account to a new address only once that is confirmed; the profile follows. An address that another
  -- profile holds stays theirs.
  if new.email is not null and new.email is distinct from old.email then
    if exists (select from public.users as u where lower(u.email) = lower(new.email) and u.id <> new.id) then
      insert into private.identity_events (user_id, event, details)
      select u.id, 'address_change_refused', '{}'::jsonb from public.users as u where u.id = new.id;
    else
      update public.users set email = new.email where id = new.id and email is distinct from new.email;
      if not found and not exists (select from public.users as u where u.id = new.id) then
        insert into public.users (id, email, role) values (new.id, new.email, 'client');
      end if;
    end if;
  end if;
  if new.email_confirmed_at is not null
    and (old.email_confirmed_at is null or new.email is distinct from old.email) then
    perform private.link_person(u.id) from public.users as u where u.id = new.id and lower(u.email) = lower(new.email);
  end if;
  return null;
end;
$$;
comment on function private.handle_changed_account() is
  'security definer: the sign-in service''s role may not write users. Trigger: the profile follows the account''s address, and a confirmed one ties what waits for it.';
revoke execute on function private.handle_changed_account() from public, anon, authenticated, service_role;

create or replace trigger on_auth_user_changed after update of email, email_confirmed_at on auth.users
for each row execute function private.handle_changed_account();

-- schemas/90_cross/30_coach_invitations.sql
create or replace function private.my_verified_email()
returns text
language sql
stable
security definer
set search_path = ''
as $$
  select lower(u.email)
  from public.users as u
  where u.id = private.me()
    and (
      exists (select from private.credentials as c where c.user_id = u.id and c.email_verified_at is not null)
      or exists (
        select from auth.users as a
        where a.id = u.id and a.email_confirmed_at is not null and lower(a.email) = lower(u.email)
      )
    )
$$;
comment on function private.my_verified_email() is
  'security definer: reads credentials. The active user''s address in lower case, if proven by either issuer.';
revoke execute on function private.my_verified_email() from public, anon, authenticated, service_role;
grant execute on function private.my_verified_email() to authenticated, service_role;

drop policy if exists coach_clients_select_invited on public.coach_clients;
create policy coach_clients_select_invited on public.coach_clients for select to authenticated
using (client_id is null and status = 'invited' and lower(email) = (select private.my_verified_email()));
comment on policy coach_clients_select_invited on public.coach_clients is 'Whoever has proven the address reads the invitation sent to it.';

create or replace function public.answer_coach_invitation(p_id uuid, p_answer text)
returns void
language plpgsql
security definer
set search_path = ''
as $$
declare
  person uuid := private.me();
  invitation public.coach_clients%rowtype;
begin
  select * into invitation
  from public.coach_clients as c
  where c.id = p_id and c.status = 'invited'
    and (c.client_id = person or (c.client_id is null and lower(c.email) = private.my_verified_email()))
  for update;
  if invitation.id is null or person is null or invitation.coach_id = person then
    perform private.fail(404, 'not_found', 'There is no such thing, or it is not yours.');
  end if;
  if p_answer = 'decline' then
    update public.coach_clients set status = 'ended', metadata = metadata || '{"ended_by_client": true}' where id = p_id;
    return;
  elsif p_answer is distinct from 'accept' then
    perform private.fail(422, 'answer_invalid', 'An answer is accept or decline.');
  end if;
  if exists (
    select from public.coach_clients as c where c.coach_id = invitation.coach_id and c.client_id = person and c.id <> p_id
  ) then
    update public.coach_clients
    set status = 'active', accepted_at = now(), metadata = metadata - 'ended_by_client'
    where coach_id = invitation.coach_id and client_id = person;
    delete from public.coach_clients where id = p_id;
    return;
  end if;
  update public.coach_clients
  set client_id = person, status = 'active', accepted_at = now(), metadata = metadata - 'ended_by_client'
  where id = p_id;
end;
$$;
comment on function public.answer_coach_invitation(uuid, text) is
  'security definer: clients hold no update on the relation. The invited person, by account or proven address, answers accept or decline.';
revoke execute on function public.answer_coach_invitation(uuid, text) from public, anon, authenticated, service_role;
grant execute on function public.answer_coach_invitation(uuid, text) to authenticated;

create or replace function public.leave_coach(p_id uuid)
returns void
language plpgsql
security definer
set search_path = ''
as $$
begin
  update public.coach_clients
  set status = 'ended', metadata = metadata || '{"ended_by_client": true}'
  where id = p_id and client_id = private.me() and status <> 'ended';
  if not found then
    perform private.fail(404, 'not_found', 'There is no such thing, or it is not yours.');
  end if;
end;
$$;
comment on function public.leave_coach(uuid) is
  'security definer: clients hold no update on the relation. A client ends the relation with a coach.';
revoke execute on function public.leave_coach(uuid) from public, anon, authenticated, service_role;
grant execute on function public.leave_coach(uuid) to authenticated;

-- Rows that the schema expects beside old ones ----------------------------------------------------------------------------------

-- identity and practice

do $$
declare
  item record;
begin
  -- Trigger functions whose triggers are gone.
  for item in
    select p.oid::regprocedure as signature
    from pg_proc as p
    where p.pronamespace = 'public'::regnamespace and p.prokind = 'f'
      and p.proname in (
        'handle_new_user', 'handle_user_role_change', 'track_message_sent', 'track_message_read', 'track_message_reaction',
        'track_message_reply', 'update_conversation_last_message')
      and pg_has_role(current_user, p.proowner, 'member')
      and not exists (select from pg_trigger as t where t.tgfoid = p.oid)
  loop
    execute format('drop function %s', item.signature);
  end loop;
end;
$$;

insert into public.notification_preferences (user_id, timezone)
select u.id, coalesce(u.timezone, 'UTC')
from public.users as u
where not exists (select from public.notification_preferences as p where p.user_id = u.id);

select private.ensure_practice(u.id)
from public.users as u
where u.role = 'coach' and not exists (select from public.practice_members as m where m.user_id = u.id);

-- Whoever had a session with a coach is a client of theirs; since when is known, that it goes on is assumed.
insert into public.coach_clients (coach_id, client_id, status, source, accepted_at, created_at)
select s.coach_id, s.client_id, 'active', 'session', min(s.created_at), min(s.created_at)
from public.sessions as s
where s.client_id is not null and s.client_id <> s.coach_id
  and not exists (
    select from public.coach_clients as c where c.coach_id = s.coach_id and c.client_id = s.client_id
  )
group by s.coach_id, s.client_id;

-- scheduling

-- billing

-- messaging
