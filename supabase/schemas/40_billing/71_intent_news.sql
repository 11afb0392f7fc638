-- What of a snapshot of an intent is news, and what cannot be about it. See record_intent_outcome for what a snapshot is.

create or replace function private.intent_news(p_intent public.payment_intents, p_snapshot jsonb, p_looked_up boolean) returns text
  language sql stable set search_path = '' as $$
  select case
    when p_intent.status = 'succeeded' then 'unchanged'
    when p_snapshot ->> 'status' = 'succeeded' then 'news' -- money that moved is always believed
    when p_intent.status = 'canceled' then 'unchanged'
    when private.intent_rank((p_snapshot ->> 'status')::public.payment_intent_status) > private.intent_rank(p_intent.status) then 'news'
    when (p_snapshot ->> 'status') = p_intent.status::text then
      case when p_looked_up or p_snapshot ->> 'provider_status' is distinct from p_intent.provider_status then 'news' else 'unchanged' end
    when not p_looked_up then 'stale'
    -- The gateway stands where it stood before the attempt: the call may be still on its way. Believed at the third look.
    when p_intent.status = 'processing' and p_intent.provider_status is null and p_snapshot ->> 'answered' is null
      and coalesce(p_snapshot ->> 'charge_id', '') is not distinct from coalesce(p_intent.last_charge_id, '')
      then case when p_intent.check_attempts >= 2 then 'news' else 'wait' end
    else 'news' end
$$;
comment on function private.intent_news(public.payment_intents, jsonb, boolean) is
  'Whether a snapshot is news: news, unchanged, stale (look the object up first) or wait (look again later).';
revoke execute on function private.intent_news(public.payment_intents, jsonb, boolean) from public, anon, authenticated, service_role;

create or replace function private.intent_differs(p_intent public.payment_intents, p_snapshot jsonb) returns text
  language sql stable set search_path = '' as $$
  select case
    when p_snapshot ->> 'currency' <> p_intent.currency
      then format('The gateway speaks of %s, the intent is in %s.', p_snapshot ->> 'currency', p_intent.currency)
    when p_snapshot ->> 'reference' <> p_intent.id::text
      then format('The gateway speaks of %s, the intent is %s.', p_snapshot ->> 'reference', p_intent.id)
    when (p_snapshot ->> 'amount_cents')::bigint <> p_intent.amount_cents
      then format('The gateway was asked for %s, the intent is over %s.', p_snapshot ->> 'amount_cents', p_intent.amount_cents)
    when (p_snapshot ->> 'amount_received_cents')::bigint > p_intent.amount_cents
      then format('The gateway took %s, the intent is over %s.', p_snapshot ->> 'amount_received_cents', p_intent.amount_cents) end
$$;
comment on function private.intent_differs(public.payment_intents, jsonb) is
  'What of a snapshot cannot be about this intent, in a sentence; null where all fits. Less than was asked for is no difference.';
revoke execute on function private.intent_differs(public.payment_intents, jsonb) from public, anon, authenticated, service_role;
