-- walks public.payments, once
-- What was paid for which session is told by explicit links alone: a payment that names the session, by the session's client.
-- Dates and amounts that happen to match say nothing.
update public.payments as p
set session_id = s.id
from (
  select o.id, lower(coalesce(o.metadata ->> 'session_id', o.metadata ->> 'sessionId')) as link
  from public.payments as o
  where o.session_id is null and (o.metadata ? 'session_id' or o.metadata ? 'sessionId') and /*within o.id*/ true
) as named
join public.sessions as s
  on s.id = case when named.link ~ '^[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}$' then named.link::uuid end
where p.id = named.id and (p.user_id is null or p.user_id = s.client_id)
