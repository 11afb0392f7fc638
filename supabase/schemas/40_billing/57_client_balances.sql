create or replace view public.client_balances with (security_invoker = true) as
  select b.coach_client_id, b.practice_id, b.currency, sum(b.billed)::bigint as billed_cents, sum(b.open)::bigint as open_cents,
    sum(b.overdue)::bigint as overdue_cents, min(b.due) as overdue_since, sum(b.credit)::bigint as credit_cents,
    sum(b.written_off)::bigint as written_off_cents, sum(b.open - b.credit)::bigint as balance_cents
  from (
    select i.practice_id, i.coach_client_id, i.currency,
      case when i.status = 'canceled' then 0 else i.total_amount_cents - i.credited_cents end as billed,
      case when i.written_off_at is null then o.amount else 0 end as open,
      case when i.written_off_at is null and i.due_date < now() then o.amount else 0 end as overdue,
      case when i.written_off_at is null and i.due_date < now() and o.amount > 0 then i.due_date end as due,
      0::bigint as credit, case when i.written_off_at is null then 0 else o.amount end as written_off
    from public.invoices i
    -- As private.invoice_balance has it, written out so that it is no call per row.
    cross join lateral (select case when i.status = 'canceled' then 0::bigint else i.total_amount_cents - i.amount_paid_cents
      - i.amount_refunded_cents - i.credited_cents + i.refund_covered_cents end as amount) o
    where i.finalized_at is not null and not i.is_history and i.document_kind in ('invoice', 'tax_invoice')
    union all
    select p.practice_id, p.coach_client_id, p.currency, 0, 0, 0, null, p.amount_cents - p.refunded_cents - p.allocated_cents, 0
    from public.payments p where p.status in ('paid', 'refunded') and p.coach_client_id is not null
  ) b
  group by b.practice_id, b.coach_client_id, b.currency;
comment on view public.client_balances is
  'Per client and currency: billed, open, overdue, money on account (credit), written off, and the balance, open less credit. Reads as its reader: a client sees the client''s own, a coach those of the practice.';
revoke all on public.client_balances from public, anon, authenticated, service_role;
grant select on public.client_balances to authenticated, service_role;
