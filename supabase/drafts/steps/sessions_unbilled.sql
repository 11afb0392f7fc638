-- walks public.sessions, once
-- Why an old session counts as unbilled: what the data says, in words for the person who has to bill it or write it off. Sessions
-- and payments are put under one another and not joined, for the reason that sessions_paid gives.
insert into private.adoption_decisions (kind, key, value)
select
  'sessions.unbilled', said.id::text,
  case
    when said.status in ('cancelled', 'rescheduled', 'no_show') then 'it was not held'
    when said.currencies > 1 then 'it was paid in more than one currency'
    when said.payments > 0 then 'payments name it, and none of them is paid'
    when said.status in ('scheduled', 'in_progress') then 'nobody closed it, and no payment names it'
    else 'no payment names it'
  end
from (
  select each.id, max(each.status) as status, count(each.payment_id) as payments, count(distinct each.paid_in) as currencies
  from (
    select s.id, s.status, null::uuid as payment_id, null as paid_in
    from public.sessions as s
    where s.billing_status = 'unbilled' and s.scheduled_at < now() and /*within s.id*/ true
    union all
    select p.session_id, null, p.id, case when p.status = 'paid' then p.currency end
    from public.payments as p
    where p.session_id is not null and /*within p.session_id*/ true
  ) as each
  group by each.id
  having count(each.status) = 1
) as said
on conflict (kind, key) do update set value = excluded.value
