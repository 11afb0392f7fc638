-- walks public.sessions
-- The coach's and the client's seats of sessions that are older than seats.
insert into public.session_attendees
  (session_id, user_id, role, status, created_at, coach_id, coach_client_id, price_cents, currency, billing_status, responded_at)
select
  s.id, seat.user_id, seat.role, 'confirmed', s.created_at, s.coach_id, seat.coach_client_id,
  case when seat.role = 'client' then s.price_cents end, s.currency,
  case when seat.role = 'client' then s.billing_status else 'unbilled' end,
  case when seat.role = 'client' then s.created_at end
from public.sessions as s
left join public.coach_clients as c on c.coach_id = s.coach_id and c.client_id = s.client_id
cross join lateral (
  values
    (s.coach_id, 'coach'::public.session_attendee_role, null::uuid),
    (s.client_id, 'client'::public.session_attendee_role, c.id)
) as seat (user_id, role, coach_client_id)
where seat.user_id is not null and /*within s.id*/ true
  and not exists (select from public.session_attendees as a where a.session_id = s.id and a.user_id = seat.user_id)
