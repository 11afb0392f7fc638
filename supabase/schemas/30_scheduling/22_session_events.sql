-- What happened to a session and its seats, by whom and when. Written by triggers, never changed.

create table if not exists public.session_events (
  id uuid primary key default gen_random_uuid(),
  session_id uuid not null references public.sessions (id) on delete cascade,
  coach_id uuid not null references public.users (id) on delete cascade,
  attendee_id uuid,
  kind text not null,
  from_status public.session_status,
  to_status public.session_status,
  actor_id uuid references public.users (id) on delete set null,
  details jsonb not null default '{}'::jsonb,
  created_at timestamptz not null default clock_timestamp(),
  constraint session_events_kind check (
    kind in (
      'created', 'started', 'completed', 'cancelled', 'no_show', 'rescheduled', 'seat_invited', 'seat_confirmed',
      'seat_declined', 'seat_checked_in', 'seat_check_in_undone', 'seat_cancelled'
    )
  ),
  constraint session_events_details_object check (jsonb_typeof(details) = 'object')
);
comment on table public.session_events is
  'The history of a session and its seats: one row per move, with who made it. Append-only.';
comment on column public.session_events.attendee_id is 'The seat that moved. No foreign key: history outlives the seat.';
comment on column public.session_events.actor_id is 'Who did it; null for imports, links without login and the system.';
comment on column public.session_events.details is 'rescheduled: from and to (start, minutes); cancelled: reason.';

create index if not exists session_events_session_idx on public.session_events (session_id, created_at);
create index if not exists session_events_coach_idx on public.session_events (coach_id, created_at);
create index if not exists session_events_actor_idx on public.session_events (actor_id);

revoke all on public.session_events from public, anon, authenticated, service_role;
grant select, insert on public.session_events to service_role;
grant select on public.session_events to authenticated;

alter table public.session_events enable row level security;

drop policy if exists session_events_select_coach on public.session_events;
create policy session_events_select_coach on public.session_events for select to authenticated
  using (coach_id = (select private.me()) or (select private.i_am_admin()));
comment on policy session_events_select_coach on public.session_events is
  'The coach and an admin read the history. Attendees do not: it names the others.';
