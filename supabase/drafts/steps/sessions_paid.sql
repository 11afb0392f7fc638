-- walks public.sessions, once
-- Only payments are narrowed down to a batch: to the planner a short range of ids is one row, and of two such ranges it may read one
-- anew for each row of the other.
update public.sessions as s
set billing_status = 'paid', currency = paid.currency, price_cents = coalesce(s.price_cents, paid.amount_cents)
from (
  select p.session_id, min(p.currency) as currency, case when count(*) = 1 then min(p.amount_cents) end as amount_cents
  from public.payments as p
  where p.session_id is not null and p.status = 'paid' and /*within p.session_id*/ true
  group by p.session_id
  having count(distinct p.currency) = 1
) as paid
where paid.session_id = s.id and s.billing_status = 'unbilled' and private.is_currency(paid.currency)
