-- walks public.users, once
-- Past sessions of one coach that overlap stay as they are: who was where is for people to know. Each is remembered, with when the
-- coach was taken by an earlier one.
insert into private.adoption_decisions (kind, key, value)
select 'sessions.overlap', o.id::text, to_char(o.busy_until at time zone 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS"Z"')
from (
  select s.id, s.scheduled_at, max(s.scheduled_at + make_interval(mins => s.duration_minutes)) over (
    partition by s.coach_id order by s.scheduled_at, s.id rows between unbounded preceding and 1 preceding) as busy_until
  from public.sessions as s
  where s.status not in ('cancelled', 'rescheduled')
    and s.scheduled_at + make_interval(mins => s.duration_minutes) <= now() and /*within s.coach_id*/ true
) as o
where o.scheduled_at < o.busy_until
on conflict (kind, key) do nothing
