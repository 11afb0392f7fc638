-- walks public.payments
-- What was called refunded went back whole: there was no way to say less. Of a currency only the spelling is put right; what is
-- no currency then stops the extension.
update public.payments as p
set
  currency = upper(btrim(p.currency)),
  refunded_cents = case when p.status = 'refunded' then p.amount_cents else 0 end,
  refund_reserved_cents = case when p.status = 'refunded' then p.amount_cents else 0 end
where (p.currency <> upper(btrim(p.currency)) or (p.status = 'refunded' and p.refunded_cents = 0)) and /*within p.id*/ true
