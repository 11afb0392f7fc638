-- walks public.users
-- Whoever had a session with a coach is a client of theirs; since when is known, that it goes on is assumed.
insert into public.coach_clients (coach_id, client_id, status, source, accepted_at, created_at)
select s.coach_id, s.client_id, 'active', 'session', min(s.created_at), min(s.created_at)
from public.sessions as s
where s.client_id is not null and s.client_id <> s.coach_id and /*within s.coach_id*/ true
  and not exists (select from public.coach_clients as c where c.coach_id = s.coach_id and c.client_id = s.client_id)
group by s.coach_id, s.client_id
on conflict (coach_id, client_id) do nothing
