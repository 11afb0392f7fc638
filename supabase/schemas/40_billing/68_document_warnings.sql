-- What people should look at before, or after, a document goes out. Warnings, not refusals: whether a rule applies is theirs to say.
create or replace function private.cash_warning(p_country text, p_deal_cents bigint, p_cash_cents bigint, p_currency text, p_on date) returns boolean
  language sql stable set search_path = '' as $$
  -- Up to the ceiling a deal may be paid in cash; above it a tenth of the deal, and never more than the ceiling.
  select p_country = 'IL' and p_currency = 'ILS' and p_deal_cents > c.ceiling and p_cash_cents > least(p_deal_cents / 10, c.ceiling)
  from (select private.tax_rule(p_country, 'cash_ceiling_cents', p_on) as ceiling) c
$$;
comment on function private.cash_warning(text, bigint, bigint, text, date) is 'Whether more of a deal was paid in cash than the law of the country allows.';
revoke execute on function private.cash_warning(text, bigint, bigint, text, date) from public, anon, authenticated, service_role;
grant execute on function private.cash_warning(text, bigint, bigint, text, date) to authenticated, service_role;

create or replace function private.exempt_warning(p public.practices, p_until timestamptz) returns text
  language sql stable set search_path = '' as $$
  -- An exempt dealer's turnover is what came in within the calendar year; whoever passes the ceiling has to register.
  select case when t.turnover > c.ceiling then 'exempt_over_ceiling' when t.turnover > c.ceiling - c.ceiling / 10 then 'exempt_near_ceiling' end
  from (select date_trunc('year', p_until, p.timezone) as year_start) y
  cross join lateral (select private.tax_rule(p.country, 'exempt_ceiling_cents', (p_until at time zone p.timezone)::date) as ceiling) c
  cross join lateral (select sum(m.amount_cents - m.refunded_cents) as turnover from public.payments m
    where m.practice_id = p.id and m.status in ('paid', 'refunded') and m.currency = 'ILS'
      and m.paid_at >= y.year_start and m.paid_at <= p_until
      -- What was begun in the old year may come in the new one, but not a year later. This is what the index has.
      and m.created_at >= y.year_start - interval '1 year') t
  where p.tax_scheme = 'exempt' and p.country = 'IL'
$$;
comment on function private.exempt_warning(public.practices, timestamptz) is
  'Whether an exempt practice has passed the yearly ceiling of its country by a time, or nine tenths of it. Reads as its caller: who does not see the payments gets null.';
revoke execute on function private.exempt_warning(public.practices, timestamptz) from public, anon, authenticated, service_role;
grant execute on function private.exempt_warning(public.practices, timestamptz) to authenticated, service_role;

create or replace function private.document_warnings(i public.invoices) returns text[]
  language sql stable set search_path = '' as $$
  select array_remove(array[
    case when p.country = 'IL' and i.currency = 'ILS' and i.document_kind in ('tax_invoice', 'tax_invoice_receipt')
        and i.buyer_tax_id is not null and i.tax_cents > 0 and i.allocation_number is null
        and i.subtotal_cents > private.tax_rule('IL', 'allocation_threshold_cents', (coalesce(i.finalized_at, now()) at time zone p.timezone)::date)
      then 'allocation_number_needed' end,
    case when i.document_kind in ('invoice', 'tax_invoice') and coalesce(private.cash_warning(p.country, i.total_amount_cents,
        (select sum(a.amount_cents) from public.payment_allocations a join public.payments m on m.id = a.payment_id
         where a.invoice_id = i.id and m.method_type = 'cash'), i.currency, (coalesce(i.finalized_at, now()) at time zone p.timezone)::date), false)
      then 'cash_over_ceiling' end,
    case when i.amount_refunded_cents > i.refund_covered_cents and i.document_kind in ('invoice', 'tax_invoice') and not i.is_history
      then 'refund_without_credit_note' end,
    case when i.issued_elsewhere and not i.is_history and i.document_number is null then 'number_elsewhere_missing' end,
    -- Before the next document goes out, and on the receipt that passed it.
    case when p.tax_scheme = 'exempt' and (i.finalized_at is null or i.document_kind = 'receipt')
      then private.exempt_warning(p, case when i.finalized_at is null then now() else i.tax_point_at end) end
  ], null)
  from public.practices p where p.id = i.practice_id
$$;
comment on function private.document_warnings(public.invoices) is
  'Codes of what the people of the practice should look at. Reads as its caller: who does not see the practice gets null.';
revoke execute on function private.document_warnings(public.invoices) from public, anon, authenticated, service_role;
grant execute on function private.document_warnings(public.invoices) to authenticated, service_role;
