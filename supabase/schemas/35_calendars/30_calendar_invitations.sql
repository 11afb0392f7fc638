-- What each person's calendar was last told about their seat, so that the next mail can correct it.

create table if not exists private.calendar_invitations (
  attendee_id uuid primary key references public.session_attendees (id) on delete cascade,
  email text not null,
  method text not null,
  sequence integer not null default 0,
  content jsonb not null,
  previous jsonb,
  prepared_at timestamptz not null default now(),
  sent_at timestamptz,
  refused text,
  constraint calendar_invitations_method check (method in ('REQUEST', 'CANCEL')),
  constraint calendar_invitations_sequence check (sequence >= 0),
  constraint calendar_invitations_content check (jsonb_typeof(content) = 'object')
);
comment on table private.calendar_invitations is
  'The invitation by mail of each seat: what it last said, under which number, and whether it went out. A row is written before its mail is sent.';
comment on column private.calendar_invitations.sequence is 'Rises with each change: calendars keep the highest that they have seen.';
comment on column private.calendar_invitations.previous is 'What the calendar was told before, so that the letter can say what is new; null for a first invitation.';
comment on column private.calendar_invitations.refused is 'Why the mail server did not take it.';

revoke all on private.calendar_invitations from public, anon, authenticated, service_role;
alter table private.calendar_invitations enable row level security;

create or replace function private.refresh_calendar(p_seat public.session_attendees, p_ends_at timestamptz)
returns void
language plpgsql
volatile
security definer
set search_path = ''
as $$
begin
  -- Imports tell nobody. What somebody was told is kept right, whoever changes it.
  if p_seat.role = 'coach' or p_ends_at <= now() or not (
    private.acting_as_api()
    or exists (select from private.calendar_invitations as i where i.attendee_id = p_seat.id)
  ) then
    return;
  end if;
  -- Where there is no queue yet there is nobody who would send: an older application on a database that was only just
  -- extended must not be refused its bookings for that.
  if to_regclass('jobs.procrastinate_jobs') is null then
    return;
  end if;
  -- One at a time for each seat, and of those that wait one is enough: it says what is so when it runs.
  perform private.enqueue(
    'calendars.send_invitation', jsonb_build_object('attendee_id', p_seat.id), null, 'calendar:' || p_seat.id,
    'calendar:' || p_seat.id);
end;
$$;
revoke execute on function private.refresh_calendar(public.session_attendees, timestamptz)
  from public, anon, authenticated, service_role;
comment on function private.refresh_calendar(public.session_attendees, timestamptz) is
  'security definer: users cause mail but may not touch the queue. Lets the worker see whether a person''s calendar is to be told something.';

create or replace function private.session_attendees_calendar()
returns trigger
language plpgsql
security definer
set search_path = ''
as $$
begin
  perform private.refresh_calendar(new, s.ends_at) from public.sessions as s where s.id = new.session_id;
  return null;
end;
$$;
revoke execute on function private.session_attendees_calendar() from public, anon, authenticated, service_role;
comment on function private.session_attendees_calendar() is
  'security definer: users cause mail but may not touch the queue. Trigger: a seat that is given, answered or given up concerns its person''s calendar.';

drop trigger if exists session_attendees_calendar_new on public.session_attendees;
create trigger session_attendees_calendar_new after insert on public.session_attendees
  for each row when (new.role <> 'coach') execute function private.session_attendees_calendar();
drop trigger if exists session_attendees_calendar on public.session_attendees;
create trigger session_attendees_calendar after update of status, cancelled_at, user_id, email on public.session_attendees
  for each row when (
    new.role <> 'coach'
    and (new.status, new.cancelled_at, new.user_id, new.email) is distinct from (old.status, old.cancelled_at, old.user_id, old.email)
  )
  execute function private.session_attendees_calendar();

create or replace function private.sessions_calendar()
returns trigger
language plpgsql
security definer
set search_path = ''
as $$
begin
  perform private.refresh_calendar(a, greatest(new.ends_at, old.ends_at))
  from public.session_attendees as a
  where a.session_id = new.id and a.role <> 'coach' and a.cancelled_at is null;
  return null;
end;
$$;
revoke execute on function private.sessions_calendar() from public, anon, authenticated, service_role;
comment on function private.sessions_calendar() is
  'security definer: users cause mail but may not touch the queue. Trigger: a session that moves, changes or is cancelled concerns the calendars of its people.';

drop trigger if exists sessions_calendar on public.sessions;
create trigger sessions_calendar after update of scheduled_at, duration_minutes, status, title, description, location, meeting_url
  on public.sessions
  for each row when (
    (new.scheduled_at, new.ends_at, new.status, new.title, new.description, new.location, new.meeting_url)
    is distinct from
    (old.scheduled_at, old.ends_at, old.status, old.title, old.description, old.location, old.meeting_url)
  )
  execute function private.sessions_calendar();
