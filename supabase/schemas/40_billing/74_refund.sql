-- Refunds: decided by the coach, sent by the service, and told by the gateway as late as it likes.
-- A snapshot: {provider_refund_id, reference, status, provider_status, currency, amount_cents, charge_id, failure_reason}

create or replace function public.request_refund(p_payment_id uuid, p_amount_cents integer default null, p_reason text default null,
  p_idempotency_key text default null) returns uuid
  language plpgsql security definer set search_path = '' as $$
declare
  v_payment public.payments;
  v_earlier public.payment_refunds;
  v_id uuid;
begin
  perform from public.payments p where p.id = p_payment_id
    and (not private.acting_as_api() or p.practice_id = any ((select private.my_practice_ids())::uuid[]));
  if not found then perform private.fail(404, 'not_found', 'There is no such thing here.'); end if;
  v_payment := private.lock_money_of(p_payment_id);
  select * into v_earlier from public.payment_refunds r where r.payment_id = p_payment_id and r.idempotency_key = p_idempotency_key;
  if found then
    if v_earlier.amount_cents = coalesce(p_amount_cents, v_earlier.amount_cents) then return v_earlier.id; end if;
    perform private.fail(409, 'idempotency_key_reused', 'That key was used for another amount.');
  end if;
  if v_payment.status not in ('paid', 'refunded') then
    perform private.fail(409, 'payment_not_made', 'Only money that came in can go back.');
  end if;
  if v_payment.refund_reserved_cents = v_payment.amount_cents then
    perform private.fail(409, 'refund_exceeds_payment', 'Nothing is left of the payment.');
  end if;
  if v_payment.gateway_account_id is null and nullif(btrim(p_reason), '') is null then
    perform private.fail(422, 'reason_needed', 'Say how and why the money went back; no gateway has a record of it.');
  end if;
  insert into public.payment_refunds (payment_id, amount_cents, status, reason, idempotency_key, requested_by, next_check_at)
  values (p_payment_id, coalesce(p_amount_cents, v_payment.amount_cents - v_payment.refund_reserved_cents),
    -- Cash and the like went back by hand: there is nobody to wait for.
    case when v_payment.gateway_account_id is null then 'succeeded' else 'pending' end::public.refund_status,
    p_reason, p_idempotency_key, private.me(), now() + private.check_backoff(0))
  returning id into v_id;
  return v_id;
end $$;
comment on function public.request_refund(uuid, integer, text, text) is
  'security definer: a coach gives money back, the whole rest if no amount is said. The pending row reserves the amount before the gateway is called. Returns its id.';

create or replace function public.begin_refund_call(p_refund_id uuid) returns boolean
  language plpgsql security definer set search_path = '' as $$
begin
  -- Whoever gets true calls the gateway. Another may only after the lease, and then with the same key.
  update public.payment_refunds set status = 'processing', outcome_unknown_since = coalesce(outcome_unknown_since, now()),
    check_attempts = check_attempts + 1, next_check_at = now() + private.check_backoff(check_attempts)
  where id = p_refund_id and provider_refund_id is null
    and (status = 'pending' or (status = 'processing' and next_check_at <= now()));
  if not found then return false; end if;
  perform private.open_gateway_alert(p.gateway_account_id, 'outcome_unknown', r.id, 'What became of a refund is not known.')
  from public.payment_refunds r join public.payments p on p.id = r.payment_id where r.id = p_refund_id and r.check_attempts >= 4
    -- Where the gateway is known to be away, one alert stands for all that waits for it.
    and not exists (select from public.gateway_alerts a where a.gateway_account_id = p.gateway_account_id
      and a.kind = 'gateway_unreachable' and a.closed_at is null);
  return true;
end $$;
comment on function public.begin_refund_call(uuid) is
  'security definer: moves guarded rows for the service. True for the one caller that may now send this refund.';

create or replace function public.record_refund_unknown(p_refund_id uuid, p_message text, p_reason text default 'outcome_unknown')
  returns void
  language plpgsql security definer set search_path = '' as $$
declare
  v_attempts integer;
  v_account_id uuid;
begin
  -- When it is looked at again is on the row since begin_refund_call; one that the gateway has a name for is only looked up, and waits anew.
  update public.payment_refunds set check_attempts = check_attempts + 1, next_check_at = now() + private.check_backoff(check_attempts)
  where id = p_refund_id and status = 'processing' and provider_refund_id is not null;
  -- What is not under way is of no account, which has no alerts.
  select r.check_attempts, p.gateway_account_id into v_attempts, v_account_id
  from public.payment_refunds r join public.payments p on p.id = r.payment_id where r.id = p_refund_id and r.status = 'processing';
  if p_reason = 'gateway_unreachable' and v_attempts >= 3 then
    perform private.open_gateway_alert(v_account_id, p_reason, null, p_message);
  elsif p_reason = 'unknown_state' then
    perform private.open_gateway_alert(v_account_id, p_reason, p_refund_id, p_message);
  else
    perform private.note_answer(v_account_id, p_refund_id, p_reason, p_message, false);
  end if;
end $$;
comment on function public.record_refund_unknown(uuid, text, text) is
  'security definer: moves guarded rows for the service. A refund got no answer, or one that nobody knows: it changes nothing and is reported.';

create or replace function public.record_refund_outcome(p_refund_id uuid, p_snapshot jsonb) returns text
  language plpgsql security definer set search_path = '' as $$
declare
  v_refund public.payment_refunds;
  v_status constant public.refund_status := p_snapshot ->> 'status';
begin
  perform private.lock_money_of((select r.payment_id from public.payment_refunds r where r.id = p_refund_id));
  select * into v_refund from public.payment_refunds r where r.id = p_refund_id for no key update;
  if not found then perform private.fail(404, 'not_found', 'There is no such thing here.'); end if;
  if p_snapshot ->> 'currency' <> v_refund.currency or (p_snapshot ->> 'amount_cents')::integer <> v_refund.amount_cents then
    perform private.fail(409, 'refund_mismatch', 'The gateway speaks of another amount or currency.');
  end if;
  if private.refund_rank(v_status) <= private.refund_rank(v_refund.status)
     and (v_refund.provider_refund_id is not null or p_snapshot ->> 'provider_refund_id' is null) then
    if v_refund.status = 'processing' and v_status = 'processing' then
      update public.payment_refunds set check_attempts = check_attempts + 1, outcome_unknown_since = null,
        next_check_at = now() + private.check_backoff(check_attempts) where id = p_refund_id;
    end if;
    return 'unchanged';
  end if;
  update public.payment_refunds set
    status = case when private.refund_rank(v_status) > private.refund_rank(status) then v_status else status end,
    provider_refund_id = coalesce(provider_refund_id, p_snapshot ->> 'provider_refund_id'),
    provider_status = p_snapshot ->> 'provider_status',
    failure_reason = coalesce(p_snapshot ->> 'failure_reason', failure_reason),
    processed_at = case when v_status in ('succeeded', 'failed') then now() else processed_at end,
    outcome_unknown_since = null, next_check_at = now() + private.check_backoff(check_attempts)
  where id = p_refund_id;
  perform private.close_gateway_alerts(p.gateway_account_id, p_refund_id),
    private.note_answer(p.gateway_account_id, p_refund_id, p_snapshot ->> 'failure_reason', 'The refund was refused.', false)
  from public.payments p where p.id = v_refund.payment_id;
  return 'applied';
end $$;
comment on function public.record_refund_outcome(uuid, jsonb) is
  'security definer: moves guarded rows for the service. Only a higher state is news, so order and repetition do not matter.';

create or replace function public.record_refund_news(p_account_id uuid, p_snapshot jsonb) returns text
  language plpgsql security definer set search_path = '' as $$
declare
  v_payment_id uuid;
  v_refund_id uuid;
begin
  select p.id into v_payment_id from public.payments p
    where p.gateway_account_id = p_account_id and p.provider_transaction_id = p_snapshot ->> 'charge_id';
  if not found then return 'unknown_payment'; end if;
  perform private.lock_money_of(v_payment_id);
  select r.id into v_refund_id from public.payment_refunds r where r.payment_id = v_payment_id
    and (r.provider_refund_id = p_snapshot ->> 'provider_refund_id'
         or (r.provider_refund_id is null and r.id::text = p_snapshot ->> 'reference'))
    order by r.provider_refund_id nulls last limit 1;
  if not found then
    -- Made by hand at the gateway, or our row was lost: the money went back all the same.
    insert into public.payment_refunds (payment_id, amount_cents, status, reason, provider_refund_id, provider_status, failure_reason)
    values (v_payment_id, (p_snapshot ->> 'amount_cents')::integer, (p_snapshot ->> 'status')::public.refund_status,
      'Made at the gateway.', p_snapshot ->> 'provider_refund_id', p_snapshot ->> 'provider_status', p_snapshot ->> 'failure_reason');
    return 'applied';
  end if;
  return public.record_refund_outcome(v_refund_id, p_snapshot);
end $$;
comment on function public.record_refund_news(uuid, jsonb) is
  'security definer: moves guarded rows for the service. News of a refund from the gateway; the row is made if it is missing.';

revoke execute on function public.request_refund(uuid, integer, text, text), public.begin_refund_call(uuid),
  public.record_refund_unknown(uuid, text, text), public.record_refund_outcome(uuid, jsonb), public.record_refund_news(uuid, jsonb) from public, anon, authenticated, service_role;
grant execute on function public.request_refund(uuid, integer, text, text) to authenticated, service_role;
grant execute on function public.begin_refund_call(uuid), public.record_refund_unknown(uuid, text, text), public.record_refund_outcome(uuid, jsonb),
  public.record_refund_news(uuid, jsonb) to service_role;
