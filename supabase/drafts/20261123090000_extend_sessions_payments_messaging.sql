-- The extension: sessions with attendees, templates and billing; invoices, payments and refunds; conversations with contexts,
-- mentions and deliveries. One transaction on a fresh and on an existing database; it can be run again.
-- The first half, written by hand, brings existing tables and data to the new shape. The second half is today's schema files.
select set_config('lock_timeout', coalesce(nullif(current_setting('loom.lock_timeout', true), ''), '4s'), true);

-- What must be there, and what must not ------------------------------------------------------------------------------------

-- @include must_be_there

-- What old rows say is read once; when this runs again, rows are Loom's own and stay as they are. An adoption that walks old
-- rows in batches has made the helpers below already.
select set_config(
  'loom.first_time',
  (to_regprocedure('private.schema_version()') is null
    or exists (select from private.adoption_decisions where kind = 'online' and key = 'started'))::text,
  true);

-- Schemas, enums, helpers, and the table of decisions that an adoption has taken; they are repeated among all files below.
-- @schemas 00_foundation

-- Old policies, triggers, functions and views of the three domains -----------------------------------------------------------
-- Read from the catalogue, since no two old databases have the same set. What is outside the domains stays.

-- @include old_objects

-- The check compared with the clock at every update: no session older than a day could be changed, nor restored from a dump.
alter table public.sessions drop constraint if exists sessions_future_or_current;

-- New columns of old tables ----------------------------------------------------------------------------------------------------

-- @columns

-- Data that new constraints ask for -------------------------------------------------------------------------------------------

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

insert into private.adoption_decisions (kind, key, value)
select 'time_zone', z.original, z.becomes
from (
-- @include time_zones
) as z
on conflict (kind, key) do nothing;

-- @step users_timezone
-- @step notification_preferences_timezone
with odd as (
  select a.id, a.timezone
  from public.coach_availability as a
  where a.timezone in (
    select known.timezone from (select distinct b.timezone from public.coach_availability as b) as known where not private.is_time_zone(known.timezone))
), remembered as (
  insert into private.adoption_decisions (kind, key, value)
  select 'coach_availability.timezone', o.id::text, o.timezone from odd as o
  on conflict (kind, key) do nothing
)
update public.coach_availability as a
set timezone = coalesce((select d.value from private.adoption_decisions as d where d.kind = 'time_zone' and d.key = o.timezone), 'UTC')
from odd as o where o.id = a.id;

-- scheduling

-- From here on these come from the template; a default would hide that nothing was said.
alter table public.sessions
  alter column roster_visible drop default,
  alter column buffer_before_minutes drop default,
  alter column buffer_after_minutes drop default;

do $$
begin
  if current_setting('loom.first_time')::boolean and to_regclass('public.coach_profiles') is not null then
    execute $sql$
-- @include coach_currencies
    $sql$;
  end if;
end;
$$;

-- @step sessions_times
alter table public.sessions alter column ends_at set not null;

-- billing

do $$
declare
  item record;
  unknown text;
begin
  if (select a.atttypid from pg_attribute as a
      where a.attrelid = 'public.payments'::regclass and a.attname = 'status') = 'text'::regtype then
    create temporary table loom_payment_statuses on commit drop as
-- @include payment_statuses
    ;

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
-- It always was; an adoption in small steps that was cut off may have left it open.
alter table public.payments alter column status set not null;
create unique index if not exists payments_idempotency_unique on public.payments (idempotency_key);
create unique index if not exists payments_provider_txn_unique on public.payments (provider, provider_transaction_id);

-- @step payments_values

-- Practices receive the money: their tables, which the whole schema repeats below, and one for each coach.
-- @schemas 10_identity/20_caller.sql
-- @schemas 20_practice/10_practices.sql
-- @schemas 20_practice/20_make_practice.sql

select private.ensure_practice(u.id)
from public.users as u
where u.role = 'coach' and not exists (select from public.practice_members as m where m.user_id = u.id);

update public.practices as r
set currency = d.value
from private.adoption_decisions as d
join public.practice_members as m on m.user_id::text = d.key
where d.kind = 'coach.currency' and r.id = m.practice_id and r.created_at = now();

-- @step payments_session
create index if not exists payments_session_idx on public.payments (session_id);
-- @step sessions_paid
-- @step payments_unlinked
-- @step sessions_unbilled
-- @step sessions_overlap

-- Relations, time taken and seats: likewise, and then what old sessions say. Before there are triggers on any of it, since none
-- has to look at rows that come from here.
-- @schemas 20_practice/30_coach_clients.sql
-- @schemas 30_scheduling/23_coach_blocks.sql
-- @schemas 30_scheduling/30_session_attendees.sql

-- @step coach_clients

do $$
declare
  v_double text;
begin
  if exists (select from private.adoption_decisions where kind = 'step' and key = 'coach_blocks') then
    return; -- their blocks were made beforehand, under the constraint
  end if;
  -- Two sessions at once cannot both stand ahead. Which one gives way is for people to say.
  with ahead as (
    select s.id, s.coach_id, s.title, s.scheduled_at, tstzrange(
      s.scheduled_at - make_interval(mins => s.buffer_before_minutes),
      s.ends_at + make_interval(mins => s.buffer_after_minutes)) as during
    from public.sessions as s
    where s.status in ('scheduled', 'in_progress') and s.ends_at + make_interval(mins => s.buffer_after_minutes) > now()
      and not exists (select from public.coach_blocks as b where b.session_id = s.id)
  ), taken as (
    select a.id::text as id, a.coach_id, a.title, a.during from ahead as a
    union all
    select coalesce(b.session_id, b.id)::text, b.coach_id, b.kind, b.during
    from public.coach_blocks as b where b.expires_at is null or b.expires_at > now()
  )
  select string_agg(pair, '; ') into v_double
  from (
    select format('%s "%s" (%s) and %s "%s"', a.id, a.title, a.scheduled_at, t.id, t.title) as pair
    from ahead as a
    join taken as t on t.coach_id = a.coach_id and t.during && a.during and t.id > a.id::text
    order by a.scheduled_at
    limit 20
  ) as pairs;
  if v_double is not null then
    raise exception using
      message = format('Sessions of one coach that lie ahead overlap: %s.', v_double),
      hint = 'Nothing was changed. Move or cancel one of each pair, then run this again.';
  end if;
end;
$$;

-- @step coach_blocks
-- @step session_attendees
do $$
begin
  if to_regclass('private.adoption_touched_money') is not null then
    execute $sql$
-- @include settle_sessions
    $sql$;
    alter table public.payments validate constraint payments_session_id_fkey;
  end if;
end;
$$;

-- messaging

-- Old triggers are gone by here and new ones come with the schema files, so numbering moves no updated_at and sends nothing.
-- A prefix of the ordered indexes beside it, which the planner took for cheaper and then sorted.
drop index if exists public.idx_messages_conversation_id;

-- @step message_numbers
alter table public.messages alter column seq set not null;
-- @step participant_positions
-- @step participant_roles
-- @step message_reactions_places
-- @step message_attachments_places
-- @step message_read_receipts_places
-- @schemas 50_messaging/00_membership.sql
-- @schemas 50_messaging/05_pair_key.sql
-- @schemas 50_messaging/18_conversation_contexts.sql
-- @step conversation_contexts
-- @step direct_keys_of_sessions
-- @step direct_keys_of_pairs
do $$
begin
  if to_regclass('private.adoption_touched') is not null then
    execute $sql$
-- @include settle_conversations
    $sql$;
  end if;
end;
$$;
alter table public.message_reactions alter column conversation_id set not null, alter column message_seq set not null;
alter table public.message_attachments alter column conversation_id set not null, alter column message_seq set not null;
alter table public.message_read_receipts alter column conversation_id set not null, alter column message_seq set not null;

-- The schema as it is now ---------------------------------------------------------------------------------------------------

-- @schemas

-- What an older application keeps beside these tables, put right where it is there -------------------------------------------------

-- @cures

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

-- @step notification_preferences

-- What kept rows in step while an adoption was on its way in small steps ----------------------------------------------------------

-- @include drop_leftovers
