-- walks public.payments, once
-- A payment that names a session which is not there, or not the payer's, keeps its word in its metadata, and is remembered for a
-- person to look at.
insert into private.adoption_decisions (kind, key, value)
select 'payments.session', p.id::text, coalesce(p.metadata ->> 'session_id', p.metadata ->> 'sessionId')
from public.payments as p
where p.session_id is null and (p.metadata ? 'session_id' or p.metadata ? 'sessionId')
  and coalesce(p.metadata ->> 'session_id', p.metadata ->> 'sessionId') is not null and /*within p.id*/ true
on conflict (kind, key) do nothing
