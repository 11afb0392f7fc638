-- What people should look at before, or after, a document goes out. Warnings, not refusals: whether a rule applies is theirs to say.
create or replace function private.cash_warning(p_country text, p_deal_cents bigint, p_cash_cents bigint, p_currency text, p_on date) returns boolean
  language sql stable set search_path = '' as $$
  -- Up to the ceiling a deal may be paid in cash; above it a tenth of the deal, and never more than the ceiling.
  select p_country = 'IL' and p_currency = 'ILS' and p_deal_cents > c.ceiling and p_cash_cents > least(p_deal_cents / 10, c.ceiling)
  from (select private.tax_rule(p_country, 'cash_ceiling_cents', p_on) as ceiling) c where c.ceiling is not null
$$;
comment on function private.cash_warning(text, bigint, bigint, text, date) is 'Whether more of a deal was paid in cash than the law of the country allows.';
revoke execute on function private.cash_warning(text, bigint, bigint, text, date) from public, anon, authenticated, service_role;
grant execute on function private.cash_warning(text, bigint, bigint, text, date) to authenticated, service_role;

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
    case when i.issued_elsewhere and not i.is_history and i.document_number is null then 'number_elsewhere_missing' end
  ], null)
  from public.practices p where p.id = i.practice_id
$$;
comment on function private.document_warnings(public.invoices) is
  'Codes of what the people of the practice should look at. Reads as its caller: who does not see the practice gets null.';
revoke execute on function private.document_warnings(public.invoices) from public, anon, authenticated, service_role;
grant execute on function private.document_warnings(public.invoices) to authenticated, service_role;
