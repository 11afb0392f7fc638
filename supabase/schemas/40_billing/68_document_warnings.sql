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

create or replace function private.untaxed_money(p_payment_id uuid) returns bigint
  language sql stable set search_path = '' as $$
  select greatest(0, s.due - t.brought) from
    (select coalesce(sum(a.amount_cents + a.refunded_cents), 0)::bigint as due
      from public.payment_allocations a join public.invoices i on i.id = a.invoice_id
      where a.payment_id = p_payment_id and i.tax_on_payment and i.tax_rate_bp > 0) s,
    -- What its receipt taxed, less what was taken off an invoice since that a credit note took back.
    (select coalesce(sum(case when o.id is null then l.line_total_cents
        else greatest(least(l.line_total_cents, a.amount_cents + a.refunded_cents), l.line_total_cents - f.freed) end), 0)::bigint as brought
      from public.invoices r join public.invoice_line_items l on l.invoice_id = r.id
      left join public.invoices o on o.id = l.settled_invoice_id
      left join public.payment_allocations a on a.payment_id = r.payment_id and a.invoice_id = o.id
      cross join lateral (select o.credited_cents - o.refund_covered_cents - coalesce(sum(n.credited_open_cents), 0) as freed
        from public.invoices n where n.credit_of_invoice_id = o.id) f
      where r.payment_id = p_payment_id and r.document_kind = 'tax_invoice_receipt'
        and (o.id is null or (o.tax_on_payment and o.tax_rate_bp > 0))) t
$$;
comment on function private.untaxed_money(uuid) is
  'How much of a payment lies on invoices whose tax falls due with it, beyond what its receipt brought due. Reads as its caller.';
revoke execute on function private.untaxed_money(uuid) from public, anon, authenticated, service_role;
grant execute on function private.untaxed_money(uuid) to authenticated, service_role;

create or replace function private.document_warnings(i public.invoices) returns text[]
  language sql stable set search_path = '' as $$
  select array_remove(array[
    case when p.country = 'IL' and i.currency = 'ILS' and i.document_kind in ('tax_invoice', 'tax_invoice_receipt')
        and i.buyer_tax_id is not null and i.tax_cents > 0 and i.allocation_number is null
        and i.subtotal_cents - (select x.taxed_elsewhere + x.untaxed from private.taxed_apart(i) x) > private.tax_rule('IL', 'allocation_threshold_cents', (coalesce(i.finalized_at, now()) at time zone p.timezone)::date)
      then 'allocation_number_needed' end,
    case when i.document_kind in ('invoice', 'tax_invoice') and coalesce(private.cash_warning(p.country, i.total_amount_cents,
        (select sum(a.amount_cents) from public.payment_allocations a join public.payments m on m.id = a.payment_id
         where a.invoice_id = i.id and m.method_type = 'cash'), i.currency, (coalesce(i.finalized_at, now()) at time zone p.timezone)::date), false)
      then 'cash_over_ceiling' end,
    case when i.amount_refunded_cents > i.refund_covered_cents and i.document_kind in ('invoice', 'tax_invoice') and not i.is_history
      then 'refund_without_credit_note' end,
    -- Money that came without its tax, or whose tax was taken back, and lies here now; what its own receipt taxed is well.
    case when i.tax_on_payment and i.tax_rate_bp > 0 and exists (select from public.payment_allocations a
        where a.invoice_id = i.id and private.untaxed_money(a.payment_id) > 0 and a.amount_cents + a.refunded_cents >
          (select coalesce(sum(l.line_total_cents), 0) from public.invoice_line_items l join public.invoices r on r.id = l.invoice_id
           where r.payment_id = a.payment_id and l.settled_invoice_id = i.id))
      then 'tax_document_missing' end,
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
