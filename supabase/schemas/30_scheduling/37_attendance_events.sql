-- Who came, left or did not come: a record beside the answer to the invitation, which it never overwrites for good.

create table if not exists public.attendance_events (
  id uuid primary key default gen_random_uuid(),
  attendee_id uuid not null references public.session_attendees (id) on delete cascade,
  coach_id uuid not null references public.users (id) on delete cascade,
  number integer not null,
  kind text not null,
  nonce text not null,
  happened_at timestamptz not null,
  actor_id uuid references public.users (id) on delete set null,
  undoes uuid unique references public.attendance_events (id) on delete cascade,
  status_before public.session_attendee_status not null,
  attendance_before text,
  checked_in_before timestamptz,
  created_at timestamptz not null default clock_timestamp(),
  constraint attendance_events_number unique (attendee_id, number),
  constraint attendance_events_nonce unique (attendee_id, nonce),
  constraint attendance_events_kind check (kind in ('in', 'out', 'no_show', 'undo')),
  constraint attendance_events_undoes_of_kind check ((kind = 'undo') = (undoes is not null)),
  constraint attendance_events_nonce_length check (char_length(nonce) between 1 and 200),
  constraint attendance_events_attendance_before check (attendance_before in ('in', 'out', 'no_show'))
);
comment on table public.attendance_events is
  'The attendance of a seat: came in, went out, did not come, or one of these taken back. Append-only, numbered per seat; the seat shows what is in force.';
comment on column public.attendance_events.number is 'Counts the records of a seat, without gaps.';
comment on column public.attendance_events.nonce is 'Chosen by whoever taps: a repeated tap is one record.';
comment on column public.attendance_events.happened_at is 'When it happened; created_at says when it was recorded.';
comment on column public.attendance_events.actor_id is 'Who recorded it; null for what was derived or imported.';
comment on column public.attendance_events.undoes is 'The record that this one takes back. Each is taken back once at most.';
comment on column public.attendance_events.status_before is 'What the seat''s status was: an undo gives it back.';

create index if not exists attendance_events_coach_idx on public.attendance_events (coach_id, created_at);
create index if not exists attendance_events_actor_idx on public.attendance_events (actor_id);

revoke all on public.attendance_events from public, anon, authenticated, service_role;
grant select on public.attendance_events to authenticated, service_role;

alter table public.attendance_events enable row level security;

drop policy if exists attendance_events_select_people on public.attendance_events;
create policy attendance_events_select_people on public.attendance_events for select to authenticated
  using (
    coach_id = (select private.me())
    or attendee_id = any ((select private.my_seat_ids())::uuid[])
    or (select private.i_am_admin())
  );
comment on policy attendance_events_select_people on public.attendance_events is
  'The coach reads the attendance at their sessions, everybody their own, an admin all.';

create or replace function private.attendance_events_keep()
returns trigger
language plpgsql
security invoker
set search_path = ''
as $$
begin
  -- A session may change its coach, and an account may go; what was recorded stays.
  if to_jsonb(new) - 'coach_id' - 'actor_id' is distinct from to_jsonb(old) - 'coach_id' - 'actor_id' then
    perform private.fail(409, 'attendance_append_only', 'Attendance is recorded, never changed.', 'Record an undo instead.');
  end if;
  return new;
end;
$$;
revoke execute on function private.attendance_events_keep() from public, anon, authenticated, service_role;
comment on function private.attendance_events_keep() is 'Trigger: a record of attendance is not changed, whoever tries.';

drop trigger if exists attendance_events_keep on public.attendance_events;
create trigger attendance_events_keep before update on public.attendance_events
  for each row execute function private.attendance_events_keep();

create or replace function private.attendance_in_force(p_attendee_id uuid)
returns public.attendance_events
language sql
stable
security definer
set search_path = ''
as $$
  select e.*
  from public.attendance_events as e
  where e.attendee_id = p_attendee_id and e.kind <> 'undo'
    and not exists (select from public.attendance_events as u where u.undoes = e.id)
  order by e.number desc
  limit 1;
$$;
revoke execute on function private.attendance_in_force(uuid) from public, anon, authenticated, service_role;
comment on function private.attendance_in_force(uuid) is
  'security definer: called by definer functions. The latest record of a seat that was not taken back.';

create or replace function private.append_attendance(
  p_seat public.session_attendees, p_kind text, p_nonce text, p_at timestamptz
)
returns uuid
language plpgsql
volatile
security definer
set search_path = ''
as $$
declare
  v_in_force public.attendance_events := private.attendance_in_force(p_seat.id);
  v_id uuid;
begin
  insert into public.attendance_events (
    attendee_id, coach_id, number, kind, nonce, happened_at, actor_id, undoes, status_before, attendance_before,
    checked_in_before
  )
  values (
    p_seat.id, p_seat.coach_id,
    coalesce((select max(e.number) from public.attendance_events as e where e.attendee_id = p_seat.id), 0) + 1,
    p_kind, p_nonce, p_at, private.me(), case when p_kind = 'undo' then v_in_force.id end,
    p_seat.status, p_seat.attendance, p_seat.checked_in_at
  )
  returning id into v_id;
  return v_id;
end;
$$;
revoke execute on function private.append_attendance(public.session_attendees, text, text, timestamptz)
  from public, anon, authenticated, service_role;
comment on function private.append_attendance(public.session_attendees, text, text, timestamptz) is
  'security definer: nobody may insert records. One record about a seat as it is before it; the caller holds the seat''s lock.';

create or replace function private.session_attendees_attendance()
returns trigger
language plpgsql
security definer
set search_path = ''
as $$
declare
  v_in_force public.attendance_events := private.attendance_in_force(new.id);
  v_before public.session_attendees := new;
begin
  -- Records come first where a function wrote them, and then say what the seat says now. What was written straight
  -- into the seat, as imports do, gets its record here.
  if v_in_force.kind is not distinct from new.attendance then
    return null;
  end if;
  if tg_op = 'UPDATE' then
    v_before := old;
  else
    v_before.status := case when new.responded_at is null then 'invited' else 'confirmed' end;
    v_before.attendance := null;
    v_before.checked_in_at := null;
  end if;
  if new.attendance is not null then
    perform private.append_attendance(
      v_before, new.attendance, 'direct:' || gen_random_uuid(), coalesce(new.checked_in_at, now()));
    return null;
  end if;
  while v_in_force.id is not null loop
    perform private.append_attendance(v_before, 'undo', 'direct:' || gen_random_uuid(), now());
    v_in_force := private.attendance_in_force(new.id);
  end loop;
  return null;
end;
$$;
revoke execute on function private.session_attendees_attendance() from public, anon, authenticated, service_role;
comment on function private.session_attendees_attendance() is
  'security definer: nobody may insert records. Trigger: whoever writes the attendance of a seat leaves a record of it.';

drop trigger if exists session_attendees_attendance_new on public.session_attendees;
create trigger session_attendees_attendance_new after insert on public.session_attendees
  for each row when (new.attendance is not null) execute function private.session_attendees_attendance();
drop trigger if exists session_attendees_attendance on public.session_attendees;
create trigger session_attendees_attendance after update of status, attendance on public.session_attendees
  for each row when (new.attendance is distinct from old.attendance)
  execute function private.session_attendees_attendance();
