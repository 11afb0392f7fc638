-- What the gateway says about an intent, from an answer, an event or a look-up. Never "the last event wins".
-- A snapshot: {provider_intent_id, status, provider_status, currency, reference, amount_cents, amount_capturable_cents, amount_received_cents, charge_id, next_action, error_code, error_message, answered (set in the answer to the attempt itself)}

create or replace function public.record_intent_sent(p_intent_id uuid, p_provider_intent_id text, p_client_secret text,
  p_provider_status text) returns void
  language plpgsql security definer set search_path = '' as $$
declare
  v_intent constant public.payment_intents := private.lock_intent(p_intent_id);
  v_over constant boolean := v_intent.status in ('succeeded', 'canceled');
begin
  if v_intent.provider_intent_id = p_provider_intent_id then return; end if;
  if v_intent.provider_intent_id is not null then
    perform private.fail(409, 'intent_fixed', 'The gateway knows this intent under another name.');
  end if;
  update public.payment_intents set provider_intent_id = p_provider_intent_id,
    -- An event may have been faster than the answer.
    provider_status = coalesce(provider_status, p_provider_status), check_attempts = 0,
    client_secret = case when not v_over then p_client_secret end,
    next_check_at = case when not v_over then now() + interval '30 minutes' end
  where id = p_intent_id;
  -- Canceled here while the gateway was making it.
  if v_intent.status = 'canceled' then
    perform private.enqueue('billing.cancel_intent', jsonb_build_object('intent_id', p_intent_id));
  end if;
end $$;
comment on function public.record_intent_sent(uuid, text, text, text) is
  'security definer: moves guarded rows for the service. The gateway has made the intent. Repeating it changes nothing.';

create or replace function public.keep_page_wish(p_intent_id uuid, p_wish jsonb) returns jsonb
  language plpgsql security definer set search_path = '' as $$
declare
  v_intent public.payment_intents := private.lock_intent(p_intent_id);
begin
  if v_intent.page_url is not null then return null; end if;
  -- Nobody was shown a page whose answer was lost: where that one is nearly over, another is asked for.
  if v_intent.page_wish is null or (v_intent.page_wish ->> 'expires_at')::timestamptz < now() + interval '1 hour' then
    -- Of an intent that is over nothing is kept, see its trigger.
    update public.payment_intents set page_wish = p_wish || jsonb_build_object('key', 'page:' || gen_random_uuid(),
      'expires_at', date_trunc('second', now()) + interval '23 hours')
    where id = p_intent_id returning page_wish into v_intent.page_wish;
  end if;
  return v_intent.page_wish;
end $$;
comment on function public.keep_page_wish(uuid, jsonb) is
  'security definer: moves guarded rows for the service. What a page is asked for with: the first wish, for all who ask until it is answered, and under one key. Null where the page is there already, or the intent is over.';

create or replace function public.drop_page_wish(p_intent_id uuid, p_key text) returns void
  language sql security definer set search_path = '' as $$
  update public.payment_intents set page_wish = null where id = p_intent_id and page_wish ->> 'key' = p_key
$$;
comment on function public.drop_page_wish(uuid, text) is
  'security definer: moves guarded rows for the service. The gateway said no to a wish: the next one has a key of its own, so that the no is not heard again once its cause is mended.';

create or replace function public.record_intent_page(p_intent_id uuid, p_key text, p_checkout_id text, p_url text, p_expires_at timestamptz)
  returns void
  language plpgsql security definer set search_path = '' as $$
declare
  v_intent constant public.payment_intents := private.lock_intent(p_intent_id);
  v_over constant boolean := v_intent.status in ('succeeded', 'canceled');
begin
  -- Another wish took its place meanwhile, or somebody else has told the same: what was not recorded is shown to nobody.
  if not v_over and v_intent.page_wish ->> 'key' is distinct from p_key then return; end if;
  update public.payment_intents set provider_checkout_id = p_checkout_id, page_wish = null, page_url = case when not v_over then p_url end,
    page_expires_at = p_expires_at, check_attempts = 0, next_check_at = case when not v_over then now() + interval '30 minutes' end
  where id = p_intent_id;
  if v_intent.status = 'canceled' then
    perform private.enqueue('billing.cancel_intent', jsonb_build_object('intent_id', p_intent_id));
  end if;
end $$;
comment on function public.record_intent_page(uuid, text, text, text, timestamptz) is
  'security definer: moves guarded rows for the service. The gateway has opened its page for the payer, as wished under the key. Repeating it changes nothing.';

create or replace function public.record_intent_unknown(p_intent_id uuid, p_message text, p_reason text default 'outcome_unknown')
  returns void
  language plpgsql security definer set search_path = '' as $$
declare
  v_intent constant public.payment_intents := private.lock_intent(p_intent_id);
begin
  if v_intent.status in ('succeeded', 'canceled') then return; end if;
  update public.payment_intents set check_attempts = check_attempts + 1,
    next_check_at = now() + private.check_backoff(check_attempts), last_error_message = left(p_message, 500),
    outcome_unknown_since = case when status = 'processing' then coalesce(outcome_unknown_since, now()) end
  where id = p_intent_id;
  case
    -- One alert for a gateway that is away, however much waits for it.
    when p_reason = 'gateway_unreachable' then
      if v_intent.check_attempts >= 2 then
        perform private.open_gateway_alert(v_intent.gateway_account_id, p_reason, null, p_message);
      end if;
    when p_reason in ('unknown_state', 'does_not_fit') then
      perform private.open_gateway_alert(v_intent.gateway_account_id, p_reason, p_intent_id, p_message);
    when v_intent.status = 'processing' and v_intent.check_attempts >= 3 then
      perform private.open_gateway_alert(v_intent.gateway_account_id, 'outcome_unknown', p_intent_id, p_message);
    else
      -- Keys that are not taken, a currency that is not: clear, and nobody can pay until it is put right.
      perform private.note_answer(v_intent.gateway_account_id, p_intent_id, p_reason, p_message, false);
  end case;
end $$;
comment on function public.record_intent_unknown(uuid, text, text) is
  'security definer: moves guarded rows for the service. A call was sent and its answer is lost: look it up later, never send it again.';

create or replace function public.record_intent_outcome(p_intent_id uuid, p_snapshot jsonb, p_looked_up boolean default false) returns text
  language plpgsql security definer set search_path = '' as $$
declare
  v_intent constant public.payment_intents := private.lock_intent(p_intent_id);
  v_status constant public.payment_intent_status := p_snapshot ->> 'status';
  v_news constant text := private.intent_news(v_intent, p_snapshot, p_looked_up);
  v_differs constant text := private.intent_differs(v_intent, p_snapshot);
begin
  if v_news = 'wait' then
    perform public.record_intent_unknown(p_intent_id, 'The gateway does not know of the attempt yet.');
  end if;
  if v_news <> 'news' then return v_news; end if;
  if v_differs is not null then
    perform public.record_intent_unknown(p_intent_id, v_differs, 'does_not_fit');
    return 'incident';
  end if;
  update public.payment_intents set status = v_status, provider_status = p_snapshot ->> 'provider_status',
    provider_intent_id = coalesce(provider_intent_id, p_snapshot ->> 'provider_intent_id'),
    amount_capturable_cents = coalesce((p_snapshot ->> 'amount_capturable_cents')::integer, 0),
    last_charge_id = coalesce(p_snapshot ->> 'charge_id', last_charge_id),
    next_action = nullif(p_snapshot -> 'next_action', 'null'::jsonb),
    last_error_code = p_snapshot ->> 'error_code', last_error_message = left(p_snapshot ->> 'error_message', 500),
    outcome_unknown_since = null,
    check_attempts = case when v_status = status then check_attempts + 1 else 0 end,
    next_check_at = now() + case when v_status = 'processing' then private.check_backoff(check_attempts) else interval '30 minutes' end
  where id = p_intent_id;
  perform private.close_gateway_alerts(v_intent.gateway_account_id, p_intent_id);
  perform private.note_answer(v_intent.gateway_account_id, p_intent_id, p_snapshot ->> 'error_code', p_snapshot ->> 'error_message',
    v_status = 'succeeded');
  if v_status = 'succeeded' then
    perform private.book_charge(private.seat_of_paid_hold(v_intent), p_snapshot);
  elsif v_status in ('requires_payment_method', 'canceled') then
    update public.payments set
      status = case when p_snapshot ->> 'error_code' = 'canceled' then 'canceled'
        when v_status = 'canceled' and p_snapshot ->> 'error_code' is distinct from 'sum_was_changed' then 'canceled'
        else 'failed' end::public.payment_status,
      failure_code = coalesce(p_snapshot ->> 'error_code', case when v_status = 'canceled' then 'canceled' else 'not_received' end),
      failure_message = left(p_snapshot ->> 'error_message', 500)
    where intent_id = p_intent_id and status = 'pending';
    if v_status = 'requires_payment_method' and v_intent.status = 'processing' then perform private.ask_to_pay(v_intent); end if;
  end if;
  return 'applied';
end $$;
comment on function public.record_intent_outcome(uuid, jsonb, boolean) is
  'security definer: moves guarded rows for the service. Applies what the gateway says, once however often it is said. Returns applied, unchanged, stale (look it up, then say p_looked_up), wait, or incident where it cannot be about this intent.';

create or replace function private.ask_to_pay(p_intent public.payment_intents) returns void
  language plpgsql security definer set search_path = '' as $$
begin
  -- Never charged again unasked. The mail carries the link of the pay page, which needs no account.
  if not p_intent.off_session then return; end if;
  perform private.tell(p_intent.user_id, 'pay_link', '/invoices/' || p_intent.invoice_id,
    jsonb_build_object('invoice_id', p_intent.invoice_id), null, private.money_text(p_intent.amount_cents, p_intent.currency));
  perform private.queue_document(i.id, i.buyer_email) from public.invoices i
  where i.id = p_intent.invoice_id and i.buyer_email is not null and not i.issued_elsewhere;
end $$;
comment on function private.ask_to_pay(public.payment_intents) is
  'security definer: users cause mails but may not touch the queue. A charge of a kept card was declined or needs its owner: the owner is told, and mailed the invoice with the link to pay it.';
revoke execute on function private.ask_to_pay(public.payment_intents) from public, anon, authenticated, service_role;

create or replace function private.book_charge(p_intent public.payment_intents, p_snapshot jsonb) returns void
  language plpgsql security definer set search_path = '' as $$
declare
  v_charge constant text := p_snapshot ->> 'charge_id';
  v_amount constant integer := coalesce((p_snapshot ->> 'amount_received_cents')::integer, p_intent.amount_cents);
  v_id uuid;
begin
  select p.id into v_id from public.payments p where p.provider = p_intent.provider and p.provider_transaction_id = v_charge
    -- What another account calls the same is none of this intent's.
    and p.gateway_account_id = p_intent.gateway_account_id for no key update;
  if v_id is null then
    select p.id into v_id from public.payments p where p.intent_id = p_intent.id and p.status = 'pending'
      order by p.created_at desc limit 1 for no key update;
  end if;
  if v_id is null then
    -- Paid at the gateway directly, or an attempt that was taken for failed: a movement of its own.
    insert into public.payments (amount_cents, currency, status, provider, provider_transaction_id, intent_id, method_type, provider_status)
    values (v_amount, p_intent.currency, 'paid', p_intent.provider, v_charge, p_intent.id, 'credit_card', p_snapshot ->> 'provider_status')
    returning id into v_id;
  else
    update public.payments set amount_cents = v_amount, status = 'paid', provider_transaction_id = v_charge,
      provider_status = p_snapshot ->> 'provider_status', invoice_id = coalesce(invoice_id, p_intent.invoice_id)
    where id = v_id and status not in ('paid', 'refunded');
  end if;
  perform private.allocate_payment(v_id);
  if p_intent.booking_request_id is not null then perform private.give_back_surplus(v_id, p_intent); end if;
end $$;
comment on function private.book_charge(public.payment_intents, jsonb) is
  'security definer: makes the one payment of an intent that succeeded, under the lock of the intent, and gives it to the invoice. What was paid for a hold and has no seat goes back.';
revoke execute on function private.book_charge(public.payment_intents, jsonb) from public, anon, authenticated, service_role;

create or replace function public.record_attempt_refused(p_payment_id uuid, p_code text, p_message text) returns void
  language plpgsql security definer set search_path = '' as $$
declare
  v_intent_id uuid;
begin
  select p.intent_id into v_intent_id from public.payments p where p.id = p_payment_id;
  perform private.lock_intent(v_intent_id);
  update public.payments set status = 'failed', failure_code = p_code, failure_message = left(p_message, 500)
    where id = p_payment_id and status = 'pending';
  if not found then return; end if;
  update public.payment_intents set status = 'requires_payment_method', provider_status = 'requires_payment_method', last_error_code = p_code,
    last_error_message = left(p_message, 500), outcome_unknown_since = null, next_check_at = now() + interval '30 minutes'
  where id = v_intent_id and status = 'processing';
  perform private.note_answer(i.gateway_account_id, v_intent_id, p_code, p_message, false)
  from public.payment_intents i where i.id = v_intent_id;
  perform private.ask_to_pay(i) from public.payment_intents i where i.id = v_intent_id;
end $$;
comment on function public.record_attempt_refused(uuid, text, text) is
  'security definer: moves guarded rows for the service. The gateway certainly did not take this attempt; another may follow.';

create or replace function public.cancel_payment_intent(p_intent_id uuid) returns void
  language plpgsql security definer set search_path = '' as $$
declare
  v_intent public.payment_intents;
begin
  perform from public.payment_intents i where i.id = p_intent_id and (not private.acting_as_api() or i.user_id = private.me()
    or i.practice_id = any ((select private.my_practice_ids())::uuid[]));
  if not found then perform private.fail(404, 'not_found', 'There is no such thing here.'); end if;
  v_intent := private.lock_intent(p_intent_id);
  if v_intent.status = 'canceled' then return; end if;
  if v_intent.status = 'succeeded' then perform private.fail(409, 'intent_closed', 'This intent was paid.', 'Refund the payment instead.'); end if;
  if v_intent.status = 'processing' and v_intent.amount_capturable_cents > 0 and v_intent.capture_requested_at is null then
    -- Held money is let go by the gateway, and is gone only once it has said so.
    update public.payment_intents set cancel_requested_at = coalesce(cancel_requested_at, now()), check_attempts = 0,
      next_check_at = now() + private.check_backoff(0) where id = p_intent_id;
    perform private.enqueue('billing.cancel_intent', jsonb_build_object('intent_id', p_intent_id));
    return;
  end if;
  if v_intent.status = 'processing' then
    perform private.fail(409, 'payment_in_progress', 'A payment is under way.', 'Wait for its outcome.');
  end if;
  update public.payments set status = 'canceled' where intent_id = p_intent_id and status = 'pending';
  update public.payment_intents set status = 'canceled' where id = p_intent_id;
  if v_intent.provider_intent_id is not null or v_intent.channel = 'hosted' then
    perform private.enqueue('billing.cancel_intent', jsonb_build_object('intent_id', p_intent_id));
  end if;
end $$;
comment on function public.cancel_payment_intent(uuid) is 'security definer: payer or coach gives an intent up, here and (by job) at the gateway.';
revoke execute on function public.record_intent_sent(uuid, text, text, text), public.record_intent_unknown(uuid, text, text),
  public.record_intent_outcome(uuid, jsonb, boolean), public.record_attempt_refused(uuid, text, text),
  public.record_intent_page(uuid, text, text, text, timestamptz), public.keep_page_wish(uuid, jsonb), public.drop_page_wish(uuid, text),
  public.cancel_payment_intent(uuid) from public, anon, authenticated, service_role;
grant execute on function public.record_intent_sent(uuid, text, text, text), public.record_intent_unknown(uuid, text, text),
  public.record_intent_outcome(uuid, jsonb, boolean), public.record_attempt_refused(uuid, text, text),
  public.record_intent_page(uuid, text, text, text, timestamptz), public.keep_page_wish(uuid, jsonb), public.drop_page_wish(uuid, text)
  to service_role;
grant execute on function public.cancel_payment_intent(uuid) to authenticated, service_role;
