-- walks public.sessions, once
-- Why an old session counts as unbilled: what the data says, in words for the person who has to bill it or write it off.
insert into private.adoption_decisions (kind, key, value)
select
  'sessions.unbilled', s.id::text,
  case
    when s.status in ('cancelled', 'rescheduled', 'no_show') then 'it was not held'
    when named.paid and named.currencies > 1 then 'it was paid in more than one currency'
    when named.session_id is not null then 'payments name it, and none of them is paid'
    when s.status in ('scheduled', 'in_progress') then 'nobody closed it, and no payment names it'
    else 'no payment names it'
  end
from public.sessions as s
left join (
  select p.session_id, bool_or(p.status = 'paid') as paid, count(distinct p.currency) filter (where p.status = 'paid') as currencies
  from public.payments as p
  where p.session_id is not null and /*within p.session_id*/ true
  group by p.session_id
) as named on named.session_id = s.id
where s.billing_status = 'unbilled' and s.scheduled_at < now() and /*within s.id*/ true
on conflict (kind, key) do update set value = excluded.value
