-- walks public.payments
-- Who received an old payment follows from its session.
update public.payments as p
set practice_id = m.practice_id
from public.sessions as s
join public.practice_members as m on m.user_id = s.coach_id
where s.id = p.session_id and p.practice_id is null and /*within p.id*/ true
