-- The two steps before a gateway is called: the plan, and the attempt. Both are committed before anything is sent.

create or replace function private.make_intent(p_wanted public.payment_intents) returns uuid
  language plpgsql security definer set search_path = '' as $$
declare
  v_account public.gateway_accounts;
  v_open public.payment_intents;
  v_id uuid;
begin
  select * into v_account from public.gateway_accounts g where g.practice_id = p_wanted.practice_id and g.disabled_at is null
    order by g.is_default desc, g.created_at, g.id limit 1;
  if not found then
    perform private.fail(409, 'no_gateway', 'The practice takes no card payments yet.', 'Pay in another way, or ask the coach.');
  end if;
  -- Two tabs, or payer and coach, share one intent: it can succeed only once.
  select * into v_open from public.payment_intents i
    where (i.invoice_id = p_wanted.invoice_id or i.booking_request_id = p_wanted.booking_request_id)
      and i.status in ('requires_payment_method', 'requires_confirmation', 'processing');
  if found then
    if (v_open.amount_cents, v_open.gateway_account_id, v_open.channel, v_open.capture_method)
       = (p_wanted.amount_cents, v_account.id, p_wanted.channel, p_wanted.capture_method) then return v_open.id; end if;
    perform private.drop_intent(v_open.id);
  end if;
  insert into public.payment_intents (user_id, amount_cents, currency, practice_id, invoice_id, booking_request_id, gateway_account_id,
    provider, idempotency_key, requested_by, next_check_at, channel, capture_method)
  values (p_wanted.user_id, p_wanted.amount_cents, p_wanted.currency, p_wanted.practice_id, p_wanted.invoice_id,
    p_wanted.booking_request_id, v_account.id, v_account.provider, p_wanted.idempotency_key, private.me(),
    now() + private.check_backoff(0), p_wanted.channel, p_wanted.capture_method)
  returning id into v_id;
  return v_id;
end $$;
comment on function private.make_intent(public.payment_intents) is
  'security definer: for functions that have locked the invoice or the hold. An intent as wanted, at the account that the practice uses now: the open one where it fits, else a new one in its place.';
revoke execute on function private.make_intent(public.payment_intents) from public, anon, authenticated, service_role;

create or replace function public.begin_payment_intent(p_invoice_id uuid, p_idempotency_key text default null,
  p_channel text default 'direct', p_capture text default 'automatic') returns uuid
  language plpgsql security definer set search_path = '' as $$
declare
  v_me constant uuid := private.me();
  v_invoice public.invoices;
  v_open public.payment_intents;
  v_balance bigint;
begin
  select * into v_invoice from public.invoices i where i.id = p_invoice_id
    and (not private.acting_as_api() or i.practice_id = any ((select private.my_practice_ids())::uuid[])
         or (i.user_id = v_me and i.finalized_at is not null)) for no key update;
  if not found then perform private.fail(404, 'not_found', 'There is no such thing here.'); end if;
  select * into v_open from public.payment_intents i
    where i.practice_id = v_invoice.practice_id and i.idempotency_key = p_idempotency_key;
  if found then
    if v_open.invoice_id = p_invoice_id then return v_open.id; end if;
    perform private.fail(409, 'idempotency_key_reused', 'That key was used for another invoice.');
  end if;
  if v_invoice.finalized_at is null then
    perform private.fail(409, 'invoice_draft', 'The invoice is still a draft.', 'Finalise it first.');
  end if;
  v_balance := private.invoice_balance(v_invoice);
  if v_invoice.status <> 'pending' or v_balance <= 0 then
    perform private.fail(409, 'invoice_not_open', 'Nothing is to be paid on this invoice.');
  end if;
  return private.make_intent(jsonb_populate_record(null::public.payment_intents, jsonb_build_object('practice_id', v_invoice.practice_id,
    'user_id', v_invoice.user_id, 'invoice_id', p_invoice_id, 'amount_cents', v_balance, 'currency', v_invoice.currency,
    'idempotency_key', p_idempotency_key, 'channel', p_channel, 'capture_method', p_capture)));
end $$;
comment on function public.begin_payment_intent(uuid, text, text, text) is
  'security definer: payer or coach begins to pay the balance of an issued invoice. Returns the intent: the open one if there is one.';
revoke execute on function public.begin_payment_intent(uuid, text, text, text) from public, anon, authenticated, service_role;
grant execute on function public.begin_payment_intent(uuid, text, text, text) to authenticated, service_role;

create or replace function public.payment_intent_secret(p_intent_id uuid) returns text
  language sql stable security definer set search_path = '' as $$
  select i.client_secret from public.payment_intents i where i.id = p_intent_id and i.user_id = private.me()
$$;
comment on function public.payment_intent_secret(uuid) is
  'security definer: the column is closed to API roles. Tells the payer, and nobody else, what lets the payer pay.';
revoke execute on function public.payment_intent_secret(uuid) from public, anon, authenticated, service_role;
grant execute on function public.payment_intent_secret(uuid) to authenticated;

create or replace function private.lock_intent(p_intent_id uuid) returns public.payment_intents
  language plpgsql security definer set search_path = '' as $$
declare
  v_intent public.payment_intents;
begin
  -- A hold's payment makes the invoice, so the hold comes first.
  perform from public.booking_requests r
    where r.id = (select x.booking_request_id from public.payment_intents x where x.id = p_intent_id) for no key update;
  perform from public.invoices i where i.id = (select x.invoice_id from public.payment_intents x where x.id = p_intent_id) for no key update;
  select * into v_intent from public.payment_intents i where i.id = p_intent_id for no key update;
  if not found then perform private.fail(404, 'not_found', 'There is no such thing here.'); end if;
  return v_intent;
end $$;
comment on function private.lock_intent(uuid) is 'security definer: locks the hold, the invoice, then the intent, in the order that everybody keeps.';
revoke execute on function private.lock_intent(uuid) from public, anon, authenticated, service_role;

create or replace function public.begin_payment_attempt(p_intent_id uuid, p_method_id uuid default null) returns uuid
  language plpgsql security definer set search_path = '' as $$
declare
  v_intent public.payment_intents;
  v_invoice public.invoices;
  v_id constant uuid := gen_random_uuid();
begin
  perform from public.payment_intents i where i.id = p_intent_id and (not private.acting_as_api() or i.user_id = private.me());
  if not found then perform private.fail(404, 'not_found', 'There is no such thing here.'); end if;
  v_intent := private.lock_intent(p_intent_id);
  case
    when v_intent.status = 'processing' then
      perform private.fail(409, 'payment_in_progress', 'A payment is under way.', 'Wait for its outcome.');
    when v_intent.status in ('succeeded', 'canceled') then
      perform private.fail(409, 'intent_closed', 'This intent is over.', 'Begin another.');
    when v_intent.next_action is not null then
      perform private.fail(409, 'action_required', 'The payer must first answer the card issuer.', 'Follow next_action.');
    when v_intent.channel = 'hosted' then
      perform private.fail(409, 'page_open', 'This intent is paid on a page of the gateway.', 'Open the page, or begin another payment.');
    when v_intent.provider_intent_id is null then
      perform private.fail(409, 'intent_not_ready', 'The gateway has not answered yet.', 'Try again shortly.');
    else
  end case;
  if p_method_id is not null and not exists (select from public.payment_methods m where m.id = p_method_id
       and m.user_id = v_intent.user_id and m.gateway_account_id = v_intent.gateway_account_id and m.detached_at is null) then
    perform private.fail(404, 'not_found', 'There is no such thing here.');
  end if;
  if exists (select from public.payment_methods m where m.id = p_method_id and private.method_expired(m.exp_month, m.exp_year)) then
    perform private.fail(409, 'method_expired', 'The card is past its month.', 'Save another one.');
  end if;
  if exists (select from public.payment_methods m where m.id = p_method_id and m.unusable_at is not null) then
    perform private.fail(409, 'method_unusable', 'The issuer has refused this card for good.', 'Pay with another one, or save it again.');
  end if;
  select * into v_invoice from public.invoices i where i.id = v_intent.invoice_id;
  if found and (v_invoice.status <> 'pending' or private.invoice_balance(v_invoice) < v_intent.amount_cents) then
    perform private.fail(409, 'invoice_not_open', 'The invoice no longer needs this amount.', 'Begin another payment.');
  end if;
  if v_intent.booking_request_id is not null and v_intent.invoice_id is null then
    perform private.payable_hold(v_intent.booking_request_id);
  end if;
  -- First, since the payment takes its card from the intent: a card given now is not the one that was tried before.
  update public.payment_intents set status = 'processing', provider_status = null, payment_method_id = p_method_id,
    -- Whoever pays by hand is there, also where the card was first tried while its owner was away.
    off_session = off_session and not private.acting_as_api(),
    last_error_code = null, last_error_message = null, check_attempts = 0, next_check_at = now() + private.check_backoff(0)
  where id = p_intent_id;
  -- Each attempt has a key of its own: the same key would give back the answer to the last one.
  insert into public.payments (id, user_id, amount_cents, currency, description, status, provider, idempotency_key, intent_id, method_id,
    method_type)
  values (v_id, v_intent.user_id, v_intent.amount_cents, v_intent.currency, v_invoice.document_number, 'pending', v_intent.provider,
    'attempt:' || v_id, p_intent_id, p_method_id, 'credit_card');
  return v_id;
end $$;
comment on function public.begin_payment_attempt(uuid, uuid) is
  'security definer: the payer is about to be charged. The pending payment is there before the gateway is called; returns its id.';
revoke execute on function public.begin_payment_attempt(uuid, uuid) from public, anon, authenticated, service_role;
grant execute on function public.begin_payment_attempt(uuid, uuid) to authenticated, service_role;
