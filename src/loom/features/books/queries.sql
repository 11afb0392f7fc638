-- name: unbilled
select u.kind, u.attendee_id, u.outcome_id, u.coach_client_id, u.amount_cents, u.currency, u.arose_at, u.description
from public.unbilled_items(%(from)s, %(until)s, %(coach_client_id)s) as u
order by u.arose_at, u.attendee_id, u.outcome_id
limit 1000

-- name: bill_month
select b.coach_client_id, b.currency, b.items, b.invoice_id, b.document_number, b.total_cents, b.error_code
from public.bill_month(%(month)s, %(finalize)s, %(coach_client_ids)s) as b

-- name: write_off_seat
select public.write_off_seat(%(attendee_id)s, %(reason)s)

-- name: restore_seat
select public.restore_seat(%(attendee_id)s)

-- name: get_seat_write_off
select w.id, w.attendee_id, w.practice_id, w.coach_client_id, w.amount_cents, w.currency, w.reason, w.written_off_by, w.undone_at, w.undone_by,
  w.created_at
from public.seat_write_offs as w
where w.id = %(id)s

-- name: list_seat_write_offs
select w.id, w.attendee_id, w.practice_id, w.coach_client_id, w.amount_cents, w.currency, w.reason, w.written_off_by, w.undone_at, w.undone_by,
  w.created_at
from public.seat_write_offs as w
where (%(coach_client_id)s::uuid is null or w.coach_client_id = %(coach_client_id)s)
  and (%(after_at)s::timestamptz is null or (w.created_at, w.id) < (%(after_at)s, %(after_id)s::uuid))
order by w.created_at desc, w.id desc
limit %(limit)s

-- name: client_balances
select
  b.practice_id, b.coach_client_id, b.currency, b.billed_cents, b.open_cents, b.overdue_cents, b.overdue_since, b.credit_cents,
  b.written_off_cents, b.balance_cents
from public.client_balances as b
where (%(coach_client_id)s::uuid is null or b.coach_client_id = %(coach_client_id)s)
  and (not %(overdue)s or b.overdue_cents > 0)
order by b.overdue_since nulls last, b.open_cents desc, b.coach_client_id, b.currency
limit 1000

-- name: journal
select
  t.id, t.practice_id, t.currency, t.kind, t.subject, t.subject_id, t.coach_client_id, t.memo, t.occurred_at, t.created_at,
  (select jsonb_object_agg(e.account, e.amount_cents) from public.journal_entries as e where e.transaction_id = t.id) as entries
from public.journal_transactions as t
where (%(subject_id)s::uuid is null or t.subject_id = %(subject_id)s)
  and (%(coach_client_id)s::uuid is null or t.coach_client_id = %(coach_client_id)s)
  and (%(after_at)s::timestamptz is null or (t.created_at, t.id) < (%(after_at)s, %(after_id)s::uuid))
order by t.created_at desc, t.id desc
limit %(limit)s

-- name: verify
select v.check_name, v.subject, v.subject_id, v.expected, v.found from public.verify_books() as v

-- name: practice_exists
-- role: service_role
select exists(select from public.practices as p where p.id = %(practice_id)s)

-- name: verify_all
-- role: service_role
select v.practice_id, p.name as practice_name, v.check_name, v.subject, v.subject_id, v.expected, v.found
from private.verify_billing(%(practice_id)s) as v
join public.practices as p on p.id = v.practice_id
order by p.name, v.practice_id, v.check_name, v.subject_id

-- name: series
select s.document_kind, s.year, s.first_number, s.last_number
from public.invoice_series as s
where s.practice_id = any ((select private.my_practice_ids())::uuid[])
order by s.year desc, s.document_kind

-- name: continue_series
select public.continue_series(%(document_kind)s, %(last_number)s, %(year)s)

-- name: tax_rules
select r.country, r.rule, r.valid_from, r.value, r.source
from public.tax_rules as r
order by r.country, r.rule, r.valid_from desc

-- name: export_journal
select jsonb_build_object(
  'date', (t.occurred_at at time zone p.timezone)::date, 'written_at', t.created_at, 'transaction', t.id, 'kind', t.kind,
  'subject', t.subject, 'subject_id', t.subject_id, 'client', coalesce(
    c.display_name, nullif(btrim(concat_ws(' ', u.first_name, u.last_name)), ''), c.email, (
      select b.buyer_name from public.invoices as b
      where b.coach_client_id = t.coach_client_id and b.buyer_name is not null order by b.created_at desc limit 1
    )
  ), 'account', e.account,
  'debit', case when e.amount_cents > 0 then e.amount_cents end, 'credit', case when e.amount_cents < 0 then -e.amount_cents end,
  'currency', t.currency, 'memo', t.memo) as cells
from public.journal_transactions as t
join public.journal_entries as e on e.transaction_id = t.id
join public.practices as p on p.id = t.practice_id
left join public.coach_clients as c on c.id = t.coach_client_id
left join public.users as u on u.id = c.client_id
where t.practice_id = any ((select private.my_practice_ids())::uuid[])
  and t.created_at >= %(from)s and t.created_at < %(until)s
order by t.created_at, t.id, e.account
limit %(limit)s

-- name: export_invoices
select jsonb_build_object(
  'number', i.document_number, 'kind', i.document_kind, 'state', private.invoice_display_status(i),
  'date', (i.issued_at at time zone p.timezone)::date, 'due', (i.due_date at time zone p.timezone)::date, 'client', i.buyer_name,
  'client_tax_id', i.buyer_tax_id, 'discount', i.discount_cents, 'net', i.subtotal_cents, 'tax_rate_bp', i.tax_rate_bp, 'tax', i.tax_cents,
  'total', i.total_amount_cents, 'paid', i.amount_paid_cents, 'refunded', i.amount_refunded_cents, 'credited', i.credited_cents,
  'open', private.invoice_balance(i), 'currency', i.currency, 'allocation_number', i.allocation_number,
  'corrects', o.document_number, 'id', i.id) as cells
from public.invoices as i
join public.practices as p on p.id = i.practice_id
left join public.invoices as o on o.id = i.credit_of_invoice_id
where i.practice_id = any ((select private.my_practice_ids())::uuid[]) and i.finalized_at is not null
  and i.issued_at >= %(from)s and i.issued_at < %(until)s
order by i.issued_at, i.document_kind, i.number, i.id
limit %(limit)s

-- name: export_payments
select jsonb_build_object(
  'date', (m.paid_at at time zone p.timezone)::date, 'state', m.status, 'method', m.method_type, 'provider', m.provider,
  'reference', m.reference, 'client', coalesce(
    c.display_name, nullif(btrim(concat_ws(' ', u.first_name, u.last_name)), ''), c.email, (
      select b.buyer_name from public.invoices as b
      where b.coach_client_id = m.coach_client_id and b.buyer_name is not null order by b.created_at desc limit 1
    )
  ), 'amount', m.amount_cents, 'refunded', m.refunded_cents,
  'allocated', m.allocated_cents, 'on_account', m.amount_cents - m.refunded_cents - m.allocated_cents, 'currency', m.currency,
  'receipt', r.document_number, 'id', m.id) as cells
from public.payments as m
join public.practices as p on p.id = m.practice_id
left join public.coach_clients as c on c.id = m.coach_client_id
left join public.users as u on u.id = c.client_id
left join public.invoices as r on r.payment_id = m.id
where m.practice_id = any ((select private.my_practice_ids())::uuid[]) and m.status in ('paid', 'refunded')
  and m.paid_at >= %(from)s and m.paid_at < %(until)s
order by m.paid_at, m.id
limit %(limit)s
