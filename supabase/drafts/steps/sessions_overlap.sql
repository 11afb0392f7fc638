-- walks public.users, once
-- Past sessions of one coach at the same time are history: they stay, and are marked for whoever wants to look.
insert into private.adoption_decisions (kind, key, value)
select 'sessions.overlap', o.id::text, o.coach_id::text
from (
  select s.id, s.coach_id, s.scheduled_at, max(s.ends_at) over (
    partition by s.coach_id order by s.scheduled_at, s.id rows between unbounded preceding and 1 preceding) as busy_until
  from public.sessions as s
  where s.status not in ('cancelled', 'rescheduled') and s.ends_at <= now() and /*within s.coach_id*/ true
) as o
where o.scheduled_at < o.busy_until
on conflict (kind, key) do nothing
