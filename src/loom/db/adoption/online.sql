-- Keeps rows in step that the older application writes while old ones are walked. All of it is gone with the migration: it drops
-- every trigger of the tables it takes over, and the rest afterwards (drafts/drop_leftovers.sql).
-- A line `-- @step NAME CONDITION` stands for the step, narrowed down to the row at hand.

-- name: keep_object
create or replace function private.adoption_object(p_metadata jsonb) returns jsonb
language sql immutable set search_path = '' as $$
  select case
    when p_metadata is null then '{}' when jsonb_typeof(p_metadata) = 'object' then p_metadata
    else jsonb_build_object('value', p_metadata) end
$$

-- name: keep_updated_at
-- Triggers of the older application stamp a row at every update, and an old row was not updated by anybody.
create or replace function private.adoption_keep_updated_at() returns trigger
language plpgsql set search_path = '' as $$
begin
  if current_setting('loom.adopting', true) = 'on' then
    new.updated_at := coalesce(old.updated_at, new.updated_at);
  end if;
  return new;
end;
$$

-- name: keep_session
create or replace function private.adoption_keep_session() returns trigger
language plpgsql security definer set search_path = '' as $$
begin
  if tg_when = 'BEFORE' then
    new.ends_at := new.scheduled_at + make_interval(mins => new.duration_minutes);
    return new;
  end if;
  if current_setting('loom.adopting', true) = 'on' then
    return null;
  end if;
  if tg_op = 'UPDATE' then
    delete from public.coach_blocks as b where b.session_id = new.id;
  end if;
  -- @step sessions_times {} = new.id
  -- @step coach_clients {} = new.coach_id and s.client_id = new.client_id
  -- @step coach_blocks {} = new.id
  return null;
end;
$$

-- name: keep_person
-- Whoever signs up gets choices like everybody else, and an odd zone becomes the default at once: a check refuses it soon.
create or replace function private.adoption_keep_person() returns trigger
language plpgsql security definer set search_path = '' as $$
begin
  if tg_op = 'DELETE' then
    -- Their sessions go with them, and in which order keys look at what hung on them is left to chance. A relation cannot stand without
    -- somebody, and says nothing yet that their sessions did not say.
    delete from public.session_attendees as a using public.sessions as s
    where s.id = a.session_id and old.id in (s.coach_id, s.client_id);
    delete from public.coach_clients as c where c.client_id = old.id;
    return old;
  end if;
  if current_setting('loom.adopting', true) = 'on' then
    return new;
  end if;
  if tg_when = 'AFTER' then
    -- @step notification_preferences {} = new.id
    return null;
  end if;
  if tg_table_name = 'users' then
    delete from private.adoption_decisions as d
    where tg_op = 'UPDATE' and new.timezone is distinct from old.timezone and d.kind = 'users.timezone' and d.key = new.id::text;
  end if;
  if not private.is_time_zone(coalesce(new.timezone, 'UTC')) then
    if tg_table_name = 'users' then
      insert into private.adoption_decisions (kind, key, value) values ('users.timezone', new.id::text, new.timezone)
      on conflict (kind, key) do nothing;
    end if;
    new.timezone := 'UTC';
  end if;
  return new;
end;
$$;

-- name: keep_status
create or replace function private.adoption_status(p_status text) returns public.payment_status
language sql stable security definer set search_path = '' as $$
  select (case when known.status in ('pending', 'paid', 'failed', 'canceled', 'refunded') then known.status end)::public.payment_status
  from (
-- @statuses
  ) as known
$$

-- name: keep_payment_text
create or replace function private.adoption_keep_payment() returns trigger
language plpgsql security definer set search_path = '' as $$
begin
  new.metadata := private.adoption_object(new.metadata);
  if tg_op = 'UPDATE' and new.status <> old.status then
    new.metadata := new.metadata - 'status_before_loom';
  end if;
  new.loom_status := private.adoption_status(new.status);
  if new.loom_status::text <> new.status then
    new.metadata := new.metadata || jsonb_build_object('status_before_loom', new.status);
  end if;
  return new;
end;
$$

-- name: keep_payment
create or replace function private.adoption_keep_payment() returns trigger
language plpgsql security definer set search_path = '' as $$
begin
  new.metadata := private.adoption_object(new.metadata);
  if tg_op = 'UPDATE' and new.status <> old.status then
    new.metadata := new.metadata - 'status_before_loom';
  end if;
  new.currency := upper(btrim(new.currency));
  new.refunded_cents := case when new.status = 'refunded' then new.amount_cents else 0 end;
  new.refund_reserved_cents := new.refunded_cents;
  return new;
end;
$$

-- name: keep_message
-- The row lock of the conversation is what gives numbers their order, here as in Loom. A conversation that has not been walked
-- yet numbers its messages when it is.
create or replace function private.adoption_keep_message() returns trigger
language plpgsql security definer set search_path = '' as $$
begin
  new.metadata := private.adoption_object(new.metadata);
  if tg_op = 'INSERT' then
    perform from public.conversations as c where c.id = new.conversation_id for no key update;
    update public.conversations as c set last_seq = c.last_seq + 1
    where c.id = new.conversation_id
      and (c.last_seq > 0 or not exists (select from public.messages as m where m.conversation_id = c.id))
    returning c.last_seq into new.seq;
  end if;
  return new;
end;
$$

-- name: keep_beside_message
create or replace function private.adoption_keep_beside_message() returns trigger
language plpgsql security definer set search_path = '' as $$
begin
  select m.conversation_id, m.seq into new.conversation_id, new.message_seq from public.messages as m where m.id = new.message_id;
  return new;
end;
$$

-- name: keep_attachment
create or replace function private.adoption_keep_attachment() returns trigger
language plpgsql security definer set search_path = '' as $$
begin
  new.metadata := private.adoption_object(new.metadata);
  return new;
end;
$$

-- name: triggers
do $$
declare
  item record;
begin
  for item in
    select * from (values
      ('sessions', 'adoption_a_keep', 'before insert or update', 'adoption_keep_session'),
      ('sessions', 'adoption_b_keep', 'after insert or update of coach_id, client_id, scheduled_at, duration_minutes, status', 'adoption_keep_session'),
      ('sessions', 'adoption_d_touch', 'after insert or delete or update of coach_id, client_id, scheduled_at, status', 'adoption_touch_money'),
      ('payments', 'adoption_a_keep', 'before insert or update', 'adoption_keep_payment'),
      ('payments', 'adoption_d_touch', 'after insert or delete or update', 'adoption_touch_money'),
      ('users', 'adoption_a_keep', 'before insert or update of timezone', 'adoption_keep_person'),
      ('users', 'adoption_b_keep', 'after insert', 'adoption_keep_person'),
      ('users', 'adoption_c_keep', 'before delete', 'adoption_keep_person'),
      ('notification_preferences', 'adoption_a_keep', 'before insert or update of timezone', 'adoption_keep_person'),
      ('messages', 'adoption_a_keep', 'before insert or update', 'adoption_keep_message'),
      ('message_attachments', 'adoption_a_keep', 'before insert or update', 'adoption_keep_attachment'),
      ('message_attachments', 'adoption_b_keep', 'before insert', 'adoption_keep_beside_message'),
      ('message_reactions', 'adoption_b_keep', 'before insert', 'adoption_keep_beside_message'),
      ('message_read_receipts', 'adoption_b_keep', 'before insert', 'adoption_keep_beside_message')
    ) as wanted (tbl, name, events, function)
    union all
    select c.relname::text, 'zz_adoption_keep_updated_at', 'before update', 'adoption_keep_updated_at'
    from pg_class as c
    join pg_attribute as a on a.attrelid = c.oid and a.attname = 'updated_at' and not a.attisdropped
    where c.relnamespace = 'public'::regnamespace and c.relname = any (string_to_array(current_setting('loom.base_tables'), ','))
  loop
    if not exists (
      select from pg_trigger as t where t.tgrelid = to_regclass(format('public.%I', item.tbl)) and t.tgname = item.name
    ) then
      execute format(
        'create trigger %I %s on public.%I for each row execute function private.%I()', item.name, item.events, item.tbl, item.function);
    end if;
  end loop;
end;
$$

-- name: touched_money
-- What was paid for a session, and so what its seats say, hangs on the session, on every payment that names it, and on who received
-- it. So it is only noted which of them were written, deleted ones too, and by which transaction; it is worked out afterwards
-- (drafts/settle_sessions.sql).
create table if not exists private.adoption_touched_money (
  session_id uuid,
  payment_id uuid,
  written_by xid8 not null default pg_current_xact_id()
);
create or replace function private.adoption_touch_money() returns trigger
language plpgsql security definer set search_path = '' as $$
begin
  if current_setting('loom.adopting', true) = 'on' then
    return null;
  end if;
  if tg_table_name = 'sessions' then
    insert into private.adoption_touched_money (session_id) values (coalesce(new.id, old.id));
  else
    insert into private.adoption_touched_money (session_id, payment_id) values (old.session_id, coalesce(new.id, old.id));
  end if;
  return null;
end;
$$

-- name: touched
-- What a conversation is about, who has read how far in it, and whether it is the one of its two people depends on many rows at
-- once, which others may be writing at that moment. So it is only noted that something was written, and by which transaction;
-- nobody waits for anybody here. Where who takes part changed, the note names the people.
create table if not exists private.adoption_touched (
  conversation_id uuid not null,
  user_id uuid,
  written_by xid8 not null default pg_current_xact_id()
);
create or replace function private.adoption_touch() returns trigger
language plpgsql security definer set search_path = '' as $$
begin
  if current_setting('loom.adopting', true) = 'on' then
    return null;
  end if;
  case tg_table_name
    when 'messages' then
      insert into private.adoption_touched (conversation_id)
      select distinct m.id from (values (new.conversation_id), (old.conversation_id)) as m (id) where m.id is not null;
    when 'sessions' then
      insert into private.adoption_touched (conversation_id)
      select distinct one.conversation_id
      from (values (new.coach_id, new.client_id), (old.coach_id, old.client_id)) as s (coach_id, client_id)
      join public.conversation_participants as one on one.user_id = s.coach_id
      join public.conversation_participants as other on other.conversation_id = one.conversation_id and other.user_id = s.client_id;
    when 'conversations' then
      insert into private.adoption_touched (conversation_id, user_id)
      select p.conversation_id, p.user_id from public.conversation_participants as p where p.conversation_id = new.id;
    when 'conversation_participants' then
      if (old.conversation_id, old.user_id, old.left_at) is not distinct from (new.conversation_id, new.user_id, new.left_at) then
        insert into private.adoption_touched (conversation_id) values (new.conversation_id);
      else
        insert into private.adoption_touched (conversation_id, user_id)
        select p.id, p.user_id
        from (values (new.conversation_id, new.user_id), (old.conversation_id, old.user_id)) as p (id, user_id)
        where p.id is not null
        union
        select p.conversation_id, p.user_id
        from public.conversation_participants as p where p.conversation_id in (new.conversation_id, old.conversation_id);
      end if;
    else
      insert into private.adoption_touched (conversation_id)
      select distinct f.conversation_id from fresh as f where f.conversation_id is not null;
  end case;
  return null;
end;
$$;
do $$
declare
  item record;
begin
  for item in
    select * from (values
      ('messages', 'insert or delete or update of conversation_id, metadata', 'for each row'),
      ('message_reactions', 'insert', 'referencing new table as fresh for each statement'),
      ('message_attachments', 'insert', 'referencing new table as fresh for each statement'),
      ('message_read_receipts', 'insert', 'referencing new table as fresh for each statement'),
      ('conversation_participants', 'insert or delete or update of conversation_id, user_id, left_at, last_read_at, role', 'for each row'),
      ('conversations', 'update of type, created_by', 'for each row'),
      ('sessions', 'insert or delete or update of coach_id, client_id', 'for each row')
    ) as wanted (tbl, events, level)
    where not exists (
      select from pg_trigger as t where t.tgrelid = to_regclass(format('public.%I', wanted.tbl)) and t.tgname = 'adoption_c_touch')
  loop
    execute format(
      'create trigger adoption_c_touch after %s on public.%I %s execute function private.adoption_touch()', item.events, item.tbl, item.level);
  end loop;
end;
$$;

-- name: walk_statuses
update public.payments as p
set
  loom_status = private.adoption_status(p.status),
  metadata = case
    when private.adoption_status(p.status)::text <> p.status
    then m.metadata || jsonb_build_object('status_before_loom', p.status) else m.metadata end
from (
  select o.id, private.adoption_object(o.metadata) as metadata
  from public.payments as o
  where o.loom_status is null and /*within o.id*/ true
) as m
where m.id = p.id

-- name: swap_statuses
do $$
declare
  unknown text;
  said text;
  item record;
  place constant smallint := (
    select a.attnum from pg_attribute as a where a.attrelid = 'public.payments'::regclass and a.attname = 'status');
  -- Those that were built anew over the new column.
  carried constant oid[] := array(
    select i.indexrelid from pg_index as i
    where i.indrelid = 'public.payments'::regclass
      and to_regclass(format('public.loom_status_of_%s', i.indexrelid)) is not null);
begin
  select string_agg(format('%L', u.status), ', ') into unknown
  from (select p.status from public.payments as p where p.loom_status is null limit 20) as u;
  if unknown is not null then
    raise exception using message = format('Payments came meanwhile with statuses that nobody has decided on: %s.', unknown),
      hint = 'Give --map-status for each and run this again: it goes on where it is.';
  end if;
  -- What the plan did not see, since it came meanwhile, is not dropped without a word.
  select string_agg(h.what, ', ' order by h.what) into unknown
  from (
    select 'index ' || i.indexrelid::regclass as what
    from pg_index as i
    where i.indrelid = 'public.payments'::regclass and i.indexrelid <> all (carried)
      and i.indexrelid is distinct from to_regclass('public.payments_status_idx')
      and exists (
        select from pg_depend as d
        where d.classid = 'pg_class'::regclass and d.objid = i.indexrelid and d.refobjid = i.indrelid and d.refobjsubid = place)
    union all
    select 'constraint ' || quote_ident(k.conname)
    from pg_constraint as k
    where k.conrelid = 'public.payments'::regclass and k.contype = 'c' and place = any (k.conkey)
  ) as h;
  if unknown is not null then
    raise exception using message = format('The text of payments.status is named by: %s.', unknown),
      hint = 'Drop them, run this again, and make them again afterwards: it goes on where it is.';
  end if;
  for item in
    select i.indexrelid::regclass as name, c.relname as was, format('public.loom_status_of_%s', i.indexrelid) as built
    from pg_index as i join pg_class as c on c.oid = i.indexrelid
    where i.indexrelid = any (carried)
  loop
    execute format('drop index %s', item.name);
    execute format('alter index %s rename to %I', item.built, item.was);
  end loop;
  for item in
    select x.privilege_type, x.is_grantable, case x.grantee when 0 then 'public' else quote_ident(pg_get_userbyid(x.grantee)) end as who
    from pg_attribute as a, aclexplode(a.attacl) as x
    where a.attrelid = 'public.payments'::regclass and a.attnum = place
  loop
    execute format(
      'grant %s (loom_status) on public.payments to %s%s', item.privilege_type, item.who,
      case when item.is_grantable then ' with grant option' else '' end);
  end loop;
  said := col_description('public.payments'::regclass, place);
  alter table public.payments drop column status;
  alter table public.payments rename column loom_status to status;
  execute format('comment on column public.payments.status is %L', said);
  alter table public.payments alter column status set default 'pending';
  alter index if exists public.loom_payments_status_idx rename to payments_status_idx;
end;
$$

-- name: fill_nulls
update public.@table as r set @values where (@wrong) and /*within r.id*/ true
