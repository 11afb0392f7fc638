-- name: service_webhook_account
-- role: service_role
select g.id, g.provider, array_remove(array[s.webhook_secret, s.previous_webhook_secret], null) as secrets
from public.gateway_accounts as g
join private.gateway_secrets as s on s.account_id = g.id
where g.provider = %(provider)s and g.webhook_token_hash = %(token_hash)s and s.webhook_secret is not null

-- name: service_receive_webhook
-- role: service_role
select public.receive_webhook(%(account_id)s, %(event_id)s, %(event_type)s, %(occurred_at)s, %(payload)s::jsonb)

-- name: service_get_event
-- role: service_role
select e.id, e.gateway_account_id as account_id, e.provider, e.payload::text as payload, e.status
from public.webhook_events as e
where e.id = %(id)s

-- name: service_finish_webhook
-- role: service_role
select public.finish_webhook(%(id)s, %(status)s, %(outcome)s, %(error)s)

-- name: service_find_intent
-- role: service_role
select i.id
from public.payment_intents as i
where i.gateway_account_id = %(account_id)s
  and (i.provider_intent_id = %(provider_id)s or i.provider_checkout_id = %(provider_id)s
    or (i.provider_intent_id is null and i.id::text = %(reference)s))
order by i.provider_intent_id nulls last
limit 1

-- name: service_intent_call
-- role: service_role
select
  i.id, i.amount_cents, i.currency, i.status, i.channel, i.capture_method, i.provider_intent_id, i.provider_checkout_id,
  i.page_url, i.page_expires_at, i.last_charge_id, i.capture_requested_at, i.capture_amount_cents, i.cancel_requested_at,
  i.check_attempts, g.provider, s.api_key, s.webhook_secret, s.webhook_token,
  g.external_id, g.public_key, g.metadata as options,
  coalesce(v.document_number, t.title) as title
from public.payment_intents as i
left join public.invoices as v on v.id = i.invoice_id
left join public.booking_requests as r on r.id = i.booking_request_id
left join public.session_templates as t on t.id = r.template_id
join public.gateway_accounts as g on g.id = i.gateway_account_id
left join private.gateway_secrets as s on s.account_id = g.id
where i.id = %(id)s

-- name: service_attempt_call
-- role: service_role
select
  p.id, p.intent_id, p.idempotency_key as key, p.amount_cents, p.currency, i.provider_intent_id, i.capture_method, i.off_session,
  m.provider_method_id, m.provider_customer_id, m.exp_month, m.exp_year, g.provider, s.api_key, s.webhook_secret, s.webhook_token,
  g.external_id, g.public_key, g.metadata as options
from public.payments as p
join public.payment_intents as i on i.id = p.intent_id
join public.gateway_accounts as g on g.id = i.gateway_account_id
left join private.gateway_secrets as s on s.account_id = g.id
left join public.payment_methods as m on m.id = p.method_id
where p.id = %(id)s

-- name: service_refund_call
-- role: service_role
select
  r.id, r.amount_cents, r.currency, r.status, r.provider_refund_id, p.provider_transaction_id as charge_id, r.check_attempts, g.provider,
  s.api_key, s.webhook_secret, s.webhook_token,
  g.external_id, g.public_key, g.metadata as options
from public.payment_refunds as r
join public.payments as p on p.id = r.payment_id
join public.gateway_accounts as g on g.id = p.gateway_account_id
left join private.gateway_secrets as s on s.account_id = g.id
where r.id = %(id)s

-- name: service_set_webhook_secret
-- role: service_role
select public.set_webhook_secret(%(id)s, %(secret)s)

-- name: service_account_call
-- role: service_role
select g.id, g.provider, s.api_key, s.webhook_secret, s.webhook_token,
  g.external_id, g.public_key, g.metadata as options
from public.gateway_accounts as g
left join private.gateway_secrets as s on s.account_id = g.id
where g.id = %(id)s

-- name: service_method_call
-- role: service_role
select m.id, m.provider_method_id, g.provider, s.api_key, s.webhook_secret, s.webhook_token,
  g.external_id, g.public_key, g.metadata as options
from public.payment_methods as m
join public.gateway_accounts as g on g.id = m.gateway_account_id
left join private.gateway_secrets as s on s.account_id = g.id
where m.id = %(id)s

-- name: service_record_intent_sent
-- role: service_role
select public.record_intent_sent(%(id)s, %(provider_intent_id)s, %(client_secret)s, %(provider_status)s)

-- name: service_record_intent_page
-- role: service_role
select public.record_intent_page(%(id)s, %(key)s, %(checkout_id)s, %(url)s, %(expires_at)s)

-- name: service_keep_page_wish
-- role: service_role
select public.keep_page_wish(%(id)s, %(wish)s::jsonb)

-- name: service_drop_page_wish
-- role: service_role
select public.drop_page_wish(%(id)s, %(key)s)

-- name: service_record_intent_unknown
-- role: service_role
select public.record_intent_unknown(%(id)s, %(message)s, %(reason)s)

-- name: service_record_intent_outcome
-- role: service_role
select public.record_intent_outcome(%(id)s, %(snapshot)s::jsonb, %(looked_up)s)

-- name: service_record_attempt_refused
-- role: service_role
select public.record_attempt_refused(%(id)s, %(code)s, %(message)s)

-- name: service_begin_consented_attempt
-- role: service_role
select public.begin_payment_attempt(i.id, i.payment_method_id)
from public.payment_intents as i
where i.id = %(id)s

-- name: service_record_method_news
-- role: service_role
select public.record_method_news(%(account_id)s, %(provider_id)s, %(snapshot)s::jsonb)

-- name: service_replay_webhooks
-- role: service_role
select e.id
from public.webhook_events as e
join public.replay_webhooks(%(ids)s::uuid[], %(account_id)s, %(since)s, %(statuses)s::text[]) as r (id) on r.id = e.id
order by e.received_at, e.id

-- name: service_list_events
-- role: service_role
select
  e.id, e.gateway_account_id, e.provider, e.event_id, e.event_type, e.received_at, e.times_received, e.status, e.outcome,
  e.error_message, e.handled_at, e.replayed_at, e.replayed_by
from public.webhook_events as e
where e.id = any (%(ids)s::uuid[])
order by e.received_at, e.id

-- name: service_gateway_figures
-- role: service_role
select
  g.id as account_id, g.provider, r.rows_there, r.matched, jsonb_array_length(r.findings) as findings,
  r.verify_seconds_p50, r.verify_seconds_p99, r.until as reconciled_until,
  (select count(*) from public.gateway_alerts as a where a.gateway_account_id = g.id and a.closed_at is null) as alerts_open,
  (
    select count(*) from public.payment_intents as i
    where i.gateway_account_id = g.id and i.outcome_unknown_since is not null
  ) as outcomes_unknown,
  (select count(*) from public.webhook_events as e where e.gateway_account_id = g.id and e.handled_at is null) as events_open
from public.gateway_accounts as g
left join lateral (
  select x.rows_there, x.matched, x.findings, x.verify_seconds_p50, x.verify_seconds_p99, x.until
  from public.reconciliations as x
  where x.gateway_account_id = g.id
  order by x.created_at desc
  limit 1
) as r on true
where g.disabled_at is null or r.until is not null
order by g.created_at, g.id

-- name: service_take_seat_charges
-- role: service_role
select t.attendee_id from public.take_seat_charges(%(limit)s) as t (attendee_id)

-- name: service_begin_seat_charge
-- role: service_role
select public.begin_seat_charge(%(attendee_id)s)

-- name: service_begin_seat_attempt
-- role: service_role
select public.begin_seat_attempt(%(attendee_id)s)

-- name: service_begin_refund_call
-- role: service_role
select public.begin_refund_call(%(id)s)

-- name: service_record_refund_unknown
-- role: service_role
select public.record_refund_unknown(%(id)s, %(message)s, %(reason)s)

-- name: service_record_refund_outcome
-- role: service_role
select public.record_refund_outcome(%(id)s, %(snapshot)s::jsonb)

-- name: service_record_refund_news
-- role: service_role
select public.record_refund_news(%(account_id)s, %(snapshot)s::jsonb)

-- name: service_take_due_checks
-- role: service_role
select kind, id from public.take_due_checks(%(limit)s)

-- name: service_reconcilable_accounts
-- role: service_role
select g.id
from public.gateway_accounts as g
where exists (select from public.payment_intents as i where i.gateway_account_id = g.id)
order by g.created_at, g.id

-- name: service_reconcile_gateway
-- role: service_role
select public.reconcile_gateway(%(account_id)s, %(since)s, %(until)s, %(rows)s::jsonb)

-- name: service_get_reconciliation
-- role: service_role
select
  r.id, r.gateway_account_id, r.since, r.until, r.rows_there, r.rows_here, r.matched, r.findings, r.balances,
  r.verify_seconds_p50, r.verify_seconds_p99, r.created_at
from public.reconciliations as r
where r.id = %(id)s

-- name: service_setup_call
-- role: service_role
select
  t.id, t.user_id, t.gateway_account_id as account_id, t.status, t.customer_id, t.provider_setup_id, t.provider_checkout_id,
  t.payment_method_id, t.check_attempts, t.created_at, v.currency, g.provider, s.api_key, s.webhook_secret, s.webhook_token,
  g.external_id, g.public_key, g.metadata as options
from public.payment_method_setups as t
join public.gateway_accounts as g on g.id = t.gateway_account_id
join public.practices as v on v.id = t.practice_id
left join private.gateway_secrets as s on s.account_id = g.id
where t.id = %(id)s

-- name: service_find_setup
-- role: service_role
select t.id
from public.payment_method_setups as t
where t.gateway_account_id = %(account_id)s
  and (t.provider_setup_id = %(provider_id)s or t.provider_checkout_id = %(provider_id)s or t.id::text = %(reference)s)
limit 1

-- name: service_record_setup
-- role: service_role
select public.record_method_setup(%(id)s, %(snapshot)s::jsonb)

-- name: service_record_setup_sent
-- role: service_role
select public.record_setup_sent(%(id)s, %(customer_id)s, %(checkout_id)s)
