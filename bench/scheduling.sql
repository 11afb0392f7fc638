-- %(people)s clients and a coach with %(mine)s sessions, all of them for the same three years, a third ahead; %(hours)s.
-- Triggers are off: what they would have written is written here, or these rows would take an hour.
set session_replication_role = replica;
insert into auth.users (id, email)
select ('00000000-0000-4000-8000-' || lpad(to_hex(%(first)s + n), 12, '0'))::uuid, 'p' || (%(first)s + n) || '@example.test'
from generate_series(0, %(people)s) as n;
insert into public.users (id, email, first_name, role, status, timezone)
select ('00000000-0000-4000-8000-' || lpad(to_hex(%(first)s + n), 12, '0'))::uuid, 'p' || (%(first)s + n) || '@example.test',
  'Person', (case when n = 0 then 'coach' else 'client' end)::public.user_role, 'active', 'Asia/Jerusalem'
from generate_series(0, %(people)s) as n;
insert into public.coach_clients (coach_id, client_id, status, source)
select %(coach)s, ('00000000-0000-4000-8000-' || lpad(to_hex(%(first)s + n), 12, '0'))::uuid, 'active', 'manual'
from generate_series(1, %(people)s) as n;
insert into public.coach_availability (coach_id, day_of_week, start_time, end_time, timezone)
select %(coach)s, day, '06:00', '22:00', 'Asia/Jerusalem' from generate_series(0, 6) as day;
insert into public.session_templates (id, coach_id, title, default_duration_minutes, default_price_cents, slot_step_minutes)
values (%(template)s, %(coach)s, 'Session', 30, 30000, 30);
with made as (
  insert into public.sessions (
    coach_id, client_id, title, scheduled_at, duration_minutes, status, roster_visible, buffer_before_minutes,
    buffer_after_minutes, ends_at, timezone
  )
  select
    %(coach)s, ('00000000-0000-4000-8000-' || lpad(to_hex(%(first)s + 1 + n %% %(people)s), 12, '0'))::uuid, 'Session', at, 20,
    (case when at < now() then 'completed' else 'scheduled' end)::public.session_status, false, 0, 0, at + interval '20 minutes',
    'Asia/Jerusalem'
  from generate_series(1, %(mine)s) as n
  cross join lateral (
    select date_trunc('hour', now()) - interval '2 years' + n * (interval '3 years' / %(mine)s) as at
  ) as t
  returning id, coach_id, client_id, scheduled_at, ends_at, status
), seats as (
  insert into public.session_attendees (session_id, user_id, role, status, coach_id, currency)
  select id, who.user_id, who.role, 'confirmed', coach_id, 'ILS'
  from made cross join lateral (values
    (coach_id, 'coach'::public.session_attendee_role), (client_id, 'client'::public.session_attendee_role)
  ) as who (user_id, role)
)
insert into public.coach_blocks (coach_id, kind, session_id, during)
select coach_id, 'session', id, tstzrange(scheduled_at, ends_at) from made where status = 'scheduled';
set session_replication_role = origin;
