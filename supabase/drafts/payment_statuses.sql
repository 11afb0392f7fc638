-- Each spelling of a payment's status that is there, how often, and what it means: what a person decided comes before what is
-- usual, and anything else is null.
select
  spelled.original,
  spelled.times,
  coalesce(
    decided.value,
    case
      when spelled.cleaned in ('paid', 'completed', 'complete', 'succeeded', 'success', 'captured') then 'paid'
      when spelled.cleaned in ('canceled', 'cancelled', 'void', 'voided') then 'canceled'
      when spelled.cleaned in ('failed', 'failure', 'declined', 'rejected', 'error') then 'failed'
      when spelled.cleaned in ('pending', 'created', 'new', 'processing') then 'pending'
      when spelled.cleaned = 'refunded' then 'refunded'
    end
  ) as status
from (
  select p.status as original, lower(btrim(p.status, E' \t\r\n')) as cleaned, count(*) as times
  from public.payments as p
  group by p.status
) as spelled
left join (
  select d.key, d.value from private.adoption_decisions as d where d.kind = 'payments.status'
) as decided on decided.key = spelled.original
