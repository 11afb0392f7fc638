-- name: draft_invoice
select public.draft_invoice(
  p_client_id => %(client_id)s, p_coach_client_id => %(coach_client_id)s, p_lines => %(lines)s::jsonb,
  p_due_date => %(due_date)s, p_currency => %(currency)s, p_tax_rate_bp => %(tax_rate_bp)s, p_notes => %(notes)s,
  p_document_kind => %(document_kind)s, p_tax_inclusive => %(tax_inclusive)s,
  p_discount_cents => %(discount_cents)s)

-- name: list_invoices
select
  i.id, i.practice_id, i.coach_id, i.user_id as client_id, i.coach_client_id, i.status, i.document_kind, i.document_number,
  i.currency, i.discount_cents, i.subtotal_cents, i.tax_rate_bp, i.tax_inclusive, i.tax_cents, i.total_amount_cents, i.amount_paid_cents,
  i.amount_refunded_cents, i.credited_cents, i.buyer_tax_id, i.buyer_address, i.allocation_number, i.issued_elsewhere,
  i.credit_of_invoice_id, i.payment_id,
  private.invoice_balance(i) as balance_cents, private.invoice_display_status(i) as display_status,
  i.buyer_name, i.buyer_email, i.seller_name, i.notes, case when i.finalized_at is not null then i.issued_at end as issued_at,
  i.due_date, i.finalized_at, i.paid_at, i.voided_at, i.written_off_at, i.created_at, i.updated_at
from public.invoices as i
where (%(status)s::text is null or i.status = %(status)s::public.payment_status)
  and (%(document_kind)s::text is null or i.document_kind = %(document_kind)s)
  and (%(payment_id)s::uuid is null or i.payment_id = %(payment_id)s)
  and (%(draft)s::boolean is null or (i.finalized_at is null) = %(draft)s)
  and (%(client_id)s::uuid is null or i.user_id = %(client_id)s)
  and (%(coach_client_id)s::uuid is null or i.coach_client_id = %(coach_client_id)s)
  and (%(after_at)s::timestamptz is null or (i.created_at, i.id) < (%(after_at)s, %(after_id)s::uuid))
order by i.created_at desc, i.id desc
limit %(limit)s

-- name: get_invoice
select
  i.id, i.practice_id, i.coach_id, i.user_id as client_id, i.coach_client_id, i.status, i.document_kind, i.document_number,
  i.currency, i.discount_cents, i.subtotal_cents, i.tax_rate_bp, i.tax_inclusive, i.tax_cents, i.total_amount_cents, i.amount_paid_cents,
  i.amount_refunded_cents, i.credited_cents, i.buyer_tax_id, i.buyer_address, i.allocation_number, i.issued_elsewhere,
  i.credit_of_invoice_id, i.payment_id,
  private.invoice_balance(i) as balance_cents, private.invoice_display_status(i) as display_status,
  i.buyer_name, i.buyer_email, i.seller_name, i.notes, case when i.finalized_at is not null then i.issued_at end as issued_at,
  i.due_date, i.finalized_at, i.paid_at, i.voided_at, i.written_off_at, i.created_at, i.updated_at,
  coalesce((
    select jsonb_agg(jsonb_build_object(
      'id', l.id, 'session_id', l.session_id, 'attendee_id', l.attendee_id, 'outcome_id', l.outcome_id,
      'settled_invoice_id', l.settled_invoice_id, 'description', l.description,
      'quantity', l.quantity, 'amount_cents', l.amount_cents, 'discount_cents', l.discount_cents,
      'line_total_cents', l.line_total_cents, 'currency', l.currency) order by l.position, l.id)
    from public.invoice_line_items as l where l.invoice_id = i.id), '[]') as lines,
  coalesce(private.document_warnings(i), '{}') as warnings,
  coalesce((
    select jsonb_agg(jsonb_build_object('kind', r.kind, 'reason', r.reason, 'made_by', r.made_by, 'created_at', r.created_at)
      order by r.created_at, r.id)
    from public.invoice_reasons as r where r.invoice_id = i.id), '[]') as reasons
from public.invoices as i
where i.id = %(id)s

-- name: edit_draft_invoice
select public.edit_draft_invoice(%(id)s, %(changes)s::jsonb)

-- name: delete_draft_invoice
select public.delete_draft_invoice(%(id)s)

-- name: add_invoice_line
select public.add_invoice_line(%(id)s, %(line)s::jsonb)

-- name: remove_invoice_line
select public.remove_invoice_line(l.id)
from public.invoice_line_items as l
where l.id = %(line_id)s and l.invoice_id = %(id)s

-- name: finalize_invoice
select public.finalize_invoice(%(id)s, %(document_number)s)

-- name: void_invoice
select public.void_invoice(%(id)s, %(reason)s)

-- name: write_off_invoice
select public.write_off_invoice(%(id)s, %(reason)s)

-- name: restore_invoice
select public.restore_invoice(%(id)s)

-- name: credit_invoice
select public.credit_invoice(%(id)s, %(amount_cents)s, %(reason)s)

-- name: note_document_numbers
select public.note_document_numbers(%(id)s, %(allocation_number)s, %(document_number)s)

-- name: begin_payment_intent
select public.begin_payment_intent(%(invoice_id)s, null, %(channel)s, %(capture)s)

-- name: begin_hold_payment
select public.begin_hold_payment(%(request_id)s, %(channel)s)

-- name: begin_payment_attempt
select public.begin_payment_attempt(%(intent_id)s, %(method_id)s)

-- name: cancel_payment_intent
select public.cancel_payment_intent(%(id)s)

-- name: get_intent
select
  i.id, i.invoice_id, i.booking_request_id, i.user_id, i.practice_id, i.amount_cents, i.currency, i.status, i.provider, i.payment_method_id,
  i.channel, i.amount_capturable_cents, i.next_action, i.last_error_code, i.last_error_message, i.outcome_unknown_since,
  i.succeeded_at, i.canceled_at,
  i.created_at, i.updated_at
from public.payment_intents as i
where i.id = %(id)s

-- name: get_intent_with_secret
select
  i.id, i.invoice_id, i.booking_request_id, i.user_id, i.practice_id, i.amount_cents, i.currency, i.status, i.provider, i.payment_method_id,
  i.channel, i.amount_capturable_cents, i.next_action, i.last_error_code, i.last_error_message, i.outcome_unknown_since,
  i.succeeded_at, i.canceled_at,
  i.created_at, i.updated_at, public.payment_intent_secret(i.id) as client_secret
from public.payment_intents as i
where i.id = %(id)s

-- name: list_intents
select
  i.id, i.invoice_id, i.booking_request_id, i.user_id, i.practice_id, i.amount_cents, i.currency, i.status, i.provider, i.payment_method_id,
  i.channel, i.amount_capturable_cents, i.next_action, i.last_error_code, i.last_error_message, i.outcome_unknown_since,
  i.succeeded_at, i.canceled_at,
  i.created_at, i.updated_at
from public.payment_intents as i
where (%(invoice_id)s::uuid is null or i.invoice_id = %(invoice_id)s)
  and (%(after_at)s::timestamptz is null or (i.created_at, i.id) < (%(after_at)s, %(after_id)s::uuid))
order by i.created_at desc, i.id desc
limit %(limit)s

-- name: record_manual_payment
select public.record_manual_payment(
  %(invoice_id)s, %(amount_cents)s, %(method)s::public.payment_method_type, %(reference)s, %(received_at)s,
  p_keep_rest => %(keep_rest)s)

-- name: record_payment_on_account
select public.record_payment_on_account(
  %(coach_client_id)s, %(amount_cents)s, %(currency)s, %(method)s::public.payment_method_type, %(reference)s, %(received_at)s,
  %(allocations)s::jsonb, %(description)s)

-- name: allocate_to_invoice
select public.allocate_to_invoice(%(payment_id)s, %(invoice_id)s, %(amount_cents)s)

-- name: release_from_invoice
select public.release_from_invoice(%(payment_id)s, %(invoice_id)s, %(amount_cents)s)

-- name: undo_payment
select public.undo_payment(%(payment_id)s, %(reason)s)

-- name: issue_receipt
select public.issue_receipt(%(payment_id)s)

-- name: list_allocations
select
  a.id, a.payment_id, a.invoice_id, i.document_number, a.amount_cents, a.refunded_cents, a.currency, a.created_at, a.updated_at
from public.payment_allocations as a
join public.invoices as i on i.id = a.invoice_id
where a.payment_id = %(payment_id)s
  and (%(after_at)s::timestamptz is null or (a.created_at, a.id) < (%(after_at)s, %(after_id)s::uuid))
order by a.created_at desc, a.id desc
limit %(limit)s

-- name: list_payments
select
  p.id, p.user_id, p.practice_id, p.coach_client_id, p.invoice_id, p.session_id, p.intent_id, p.method_id, p.amount_cents, p.currency, p.status,
  p.method_type, p.provider, p.reference, p.description, p.allocated_cents, p.refunded_cents,
  case when p.status in ('paid', 'refunded') then p.amount_cents - p.refund_reserved_cents else 0 end as refundable_cents,
  p.paid_at, p.failure_code, p.failure_message, p.created_at, p.updated_at
from public.payments as p
where (%(invoice_id)s::uuid is null or p.invoice_id = %(invoice_id)s)
  and (%(status)s::text is null or p.status = %(status)s::public.payment_status)
  and (%(after_at)s::timestamptz is null or (p.created_at, p.id) < (%(after_at)s, %(after_id)s::uuid))
order by p.created_at desc, p.id desc
limit %(limit)s

-- name: get_payment
select
  p.id, p.user_id, p.practice_id, p.coach_client_id, p.invoice_id, p.session_id, p.intent_id, p.method_id, p.amount_cents, p.currency, p.status,
  p.method_type, p.provider, p.reference, p.description, p.allocated_cents, p.refunded_cents,
  case when p.status in ('paid', 'refunded') then p.amount_cents - p.refund_reserved_cents else 0 end as refundable_cents,
  p.paid_at, p.failure_code, p.failure_message, p.created_at, p.updated_at
from public.payments as p
where p.id = %(id)s

-- name: request_refund
select public.request_refund(%(payment_id)s, %(amount_cents)s, %(reason)s)

-- name: refund_cancelled_session
select r.id
from public.refund_cancelled_session(%(session_id)s) as r (id)

-- name: list_refunds
select
  r.id, r.payment_id, r.amount_cents, r.currency, r.status, r.reason, r.failure_reason, r.outcome_unknown_since, r.processed_at,
  r.created_at, r.updated_at
from public.payment_refunds as r
where (%(payment_id)s::uuid is null or r.payment_id = %(payment_id)s)
  and (%(after_at)s::timestamptz is null or (r.created_at, r.id) < (%(after_at)s, %(after_id)s::uuid))
order by r.created_at desc, r.id desc
limit %(limit)s

-- name: get_refund
select
  r.id, r.payment_id, r.amount_cents, r.currency, r.status, r.reason, r.failure_reason, r.outcome_unknown_since, r.processed_at,
  r.created_at, r.updated_at
from public.payment_refunds as r
where r.id = %(id)s

-- name: payment_gateway_of
select public.payment_gateway_of(%(practice_id)s)

-- name: list_payment_methods
select m.id, m.practice_id, m.type, m.provider, m.brand, m.last4, m.exp_month, m.exp_year, m.is_default, m.off_session,
  m.consented_at, m.unusable_at, m.unusable_reason, m.created_at, m.updated_at
from public.payment_methods as m
where m.user_id = (select private.me()) and m.detached_at is null
  and (%(after_at)s::timestamptz is null or (m.created_at, m.id) < (%(after_at)s, %(after_id)s::uuid))
order by m.created_at desc, m.id desc
limit %(limit)s

-- name: begin_method_setup
select public.begin_method_setup(%(practice_id)s, %(consent_text)s, %(off_session)s, %(is_default)s)

-- name: get_method_setup
select
  t.id, t.practice_id, t.status, t.consent_text, t.off_session, t.is_default, t.payment_method_id, t.next_action, t.last_error_code,
  t.last_error_message, t.created_at, t.updated_at
from public.payment_method_setups as t
where t.id = %(id)s

-- name: begin_capture
select public.begin_capture(%(id)s, %(amount_cents)s)

-- name: begin_off_session_charge
select public.begin_off_session_charge(%(invoice_id)s)

-- name: list_reconciliations
select
  r.id, r.gateway_account_id, r.since, r.until, r.rows_there, r.rows_here, r.matched, r.findings, r.balances,
  r.verify_seconds_p50, r.verify_seconds_p99, r.created_at
from public.reconciliations as r
where %(after_at)s::timestamptz is null or (r.created_at, r.id) < (%(after_at)s, %(after_id)s::uuid)
order by r.created_at desc, r.id desc
limit %(limit)s

-- name: list_gateway_alerts
select a.id, a.gateway_account_id, a.kind, a.subject_id, a.detail, a.closed_at, a.created_at, a.updated_at
from public.gateway_alerts as a
where (%(open)s::boolean is null or (a.closed_at is null) = %(open)s)
  and (%(after_at)s::timestamptz is null or (a.created_at, a.id) < (%(after_at)s, %(after_id)s::uuid))
order by a.created_at desc, a.id desc
limit %(limit)s

-- name: list_webhook_events
select
  e.id, e.gateway_account_id, e.provider, e.event_id, e.event_type, e.received_at, e.times_received, e.status, e.outcome,
  e.error_message, e.handled_at, e.replayed_at, e.replayed_by
from public.webhook_events as e
where (%(status)s::text is null or e.status = %(status)s)
  and (%(account_id)s::uuid is null or e.gateway_account_id = %(account_id)s)
  and (%(after_at)s::timestamptz is null or (e.received_at, e.id) < (%(after_at)s, %(after_id)s::uuid))
order by e.received_at desc, e.id desc
limit %(limit)s

-- name: get_webhook_event
select
  e.id, e.gateway_account_id, e.provider, e.event_id, e.event_type, e.received_at, e.times_received, e.status, e.outcome,
  e.error_message, e.handled_at, e.replayed_at, e.replayed_by
from public.webhook_events as e
where e.id = %(id)s

-- name: replay_webhook_event
select public.replay_webhooks(array[%(id)s::uuid], p_statuses => array['received', 'handled', 'ignored', 'failed'])

-- name: get_payment_method
select m.id, m.practice_id, m.type, m.provider, m.brand, m.last4, m.exp_month, m.exp_year, m.is_default, m.off_session,
  m.consented_at, m.unusable_at, m.unusable_reason, m.created_at, m.updated_at
from public.payment_methods as m
where m.id = %(id)s and m.user_id = (select private.me()) and m.detached_at is null

-- name: change_payment_method
update public.payment_methods as m
set is_default = coalesce(%(is_default)s, m.is_default), off_session = coalesce(%(off_session)s, m.off_session)
where m.id = %(id)s and m.user_id = (select private.me()) and m.detached_at is null
returning m.id, m.practice_id, m.type, m.provider, m.brand, m.last4, m.exp_month, m.exp_year, m.is_default, m.off_session,
  m.consented_at, m.unusable_at, m.unusable_reason, m.created_at, m.updated_at

-- name: detach_payment_method
update public.payment_methods as m set detached_at = now()
where m.id = %(id)s and m.user_id = (select private.me()) and m.detached_at is null

-- name: list_gateway_accounts
select
  g.id, g.practice_id, g.provider, g.display_name, g.external_id, g.public_key, g.is_live, g.is_default, g.disabled_at,
  g.created_at, g.updated_at
from public.gateway_accounts as g
where %(after_at)s::timestamptz is null or (g.created_at, g.id) < (%(after_at)s, %(after_id)s::uuid)
order by g.created_at desc, g.id desc
limit %(limit)s

-- name: get_gateway_account
select
  g.id, g.practice_id, g.provider, g.display_name, g.external_id, g.public_key, g.is_live, g.is_default, g.disabled_at,
  g.created_at, g.updated_at
from public.gateway_accounts as g
where g.id = %(id)s

-- name: add_gateway_account
select public.add_gateway_account(
  %(provider)s, %(display_name)s, %(webhook_token_hash)s, %(api_key)s, %(webhook_secret)s, %(external_id)s, %(public_key)s, %(is_live)s,
  %(webhook_token)s, %(options)s::jsonb)

-- name: disable_gateway_account
select public.disable_gateway_account(%(id)s)

-- name: settle_gateway_differences
select public.settle_gateway_differences(%(id)s)
