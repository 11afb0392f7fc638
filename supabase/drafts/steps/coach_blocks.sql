-- walks public.sessions
-- Only time ahead is blocked.
insert into public.coach_blocks (coach_id, kind, session_id, during)
select s.coach_id, 'session', s.id, tstzrange(
  s.scheduled_at - make_interval(mins => s.buffer_before_minutes),
  s.ends_at + make_interval(mins => s.buffer_after_minutes))
from public.sessions as s
where s.status in ('scheduled', 'in_progress') and s.ends_at + make_interval(mins => s.buffer_after_minutes) > now()
  and not exists (select from public.coach_blocks as b where b.session_id = s.id) and /*within s.id*/ true
