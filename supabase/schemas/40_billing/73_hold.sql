-- Money that is held: taken, in whole or part, or let go. And charges while the payer is away.

create or replace function public.begin_capture(p_intent_id uuid, p_amount_cents integer default null) returns void
  language plpgsql security definer set search_path = '' as $$
declare
  v_intent public.payment_intents;
begin
  perform from public.payment_intents i where i.id = p_intent_id
    and (not private.acting_as_api() or i.practice_id = any ((select private.my_practice_ids())::uuid[]));
  if not found then perform private.fail(404, 'not_found', 'There is no such thing here.'); end if;
  v_intent := private.lock_intent(p_intent_id);
  if v_intent.status <> 'processing' or v_intent.amount_capturable_cents = 0 or v_intent.cancel_requested_at is not null then
    perform private.fail(409, 'nothing_held', 'Nothing is held for this intent.');
  end if;
  if v_intent.capture_requested_at is not null then
    if coalesce(p_amount_cents, v_intent.capture_amount_cents) is distinct from v_intent.capture_amount_cents then
      perform private.fail(409, 'capture_requested', 'Another sum is being taken already.');
    end if;
    return;
  end if;
  if coalesce(p_amount_cents, 1) not between 1 and v_intent.amount_capturable_cents then
    perform private.fail(422, 'amount_out_of_range', 'That is more than is held.', format('%s is held.', v_intent.amount_capturable_cents));
  end if;
  update public.payment_intents set capture_requested_at = now(), capture_amount_cents = coalesce(p_amount_cents, amount_capturable_cents),
    check_attempts = 0, next_check_at = now() + private.check_backoff(0)
  where id = p_intent_id;
end $$;
comment on function public.begin_capture(uuid, integer) is
  'security definer: a coach takes what is held for her practice, all of it unless a sum is said. The wish is there before the gateway is asked.';

create or replace function public.begin_off_session_charge(p_invoice_id uuid) returns uuid
  language plpgsql security definer set search_path = '' as $$
declare
  v_invoice public.invoices;
  v_account uuid;
  v_method uuid;
  v_intent uuid;
begin
  select * into v_invoice from public.invoices i where i.id = p_invoice_id
    and (not private.acting_as_api() or i.practice_id = any ((select private.my_practice_ids())::uuid[]));
  if not found then perform private.fail(404, 'not_found', 'There is no such thing here.'); end if;
  select g.id into v_account from public.gateway_accounts g where g.practice_id = v_invoice.practice_id and g.disabled_at is null
    order by g.is_default desc, g.created_at, g.id limit 1;
  v_method := private.consented_method(v_invoice.user_id, v_account);
  case private.why_no_method(v_invoice.user_id, v_account)
    when 'method_expired' then
      perform private.fail(409, 'method_expired', 'The card that the client keeps is past its month.', 'Send the client the pay link.');
    when 'method_unusable' then
      perform private.fail(409, 'method_unusable', 'The issuer has refused the card that the client keeps for good.',
        'Send the client the pay link.');
    when 'no_consented_method' then
      perform private.fail(409, 'no_consented_method', 'The client has saved no card that may be charged while the client is away.',
        'Send the client the pay link.');
    else
  end case;
  v_intent := public.begin_payment_intent(p_invoice_id);
  update public.payment_intents set off_session = true, payment_method_id = v_method where id = v_intent;
  return v_intent;
end $$;
comment on function public.begin_off_session_charge(uuid) is
  'security definer: a coach, or the service after a session, charges the card that the client consented to. Returns the intent; the attempt follows once the gateway knows it.';

create or replace function private.method_expired(p_month integer, p_year integer) returns boolean
  language sql stable set search_path = '' as $$
  select coalesce(make_date(p_year, p_month, 1) + interval '1 month' <= now(), false)
$$;
comment on function private.method_expired(integer, integer) is 'Whether a card is past the month that it is good for; false where that is not known.';
revoke execute on function private.method_expired(integer, integer) from public, anon, authenticated, service_role;

create or replace function private.consented_methods(p_user_id uuid, p_account_id uuid) returns setof public.payment_methods
  language sql stable security definer set search_path = '' as $$
  select m.* from public.payment_methods m
  where m.user_id = p_user_id and m.gateway_account_id = p_account_id and m.off_session and m.detached_at is null
  order by m.is_default desc, m.created_at desc
$$;
comment on function private.consented_methods(uuid, uuid) is
  'security definer: cards are seen by their owner. The kept cards that a person agreed to have charged while away, the default first, good ones and others.';
revoke execute on function private.consented_methods(uuid, uuid) from public, anon, authenticated, service_role;

create or replace function private.consented_method(p_user_id uuid, p_account_id uuid) returns uuid
  language sql stable set search_path = '' as $$
  select m.id from private.consented_methods(p_user_id, p_account_id) m
  where m.unusable_at is null and not private.method_expired(m.exp_month, m.exp_year) limit 1
$$;
comment on function private.consented_method(uuid, uuid) is
  'The kept card that is charged while its owner is away; null where there is none that is good.';
revoke execute on function private.consented_method(uuid, uuid) from public, anon, authenticated, service_role;

create or replace function private.why_no_method(p_user_id uuid, p_account_id uuid) returns text
  language sql stable set search_path = '' as $$
  select case when private.consented_method(p_user_id, p_account_id) is null then coalesce(
    (select case when private.method_expired(m.exp_month, m.exp_year) then 'method_expired' else 'method_unusable' end
     from private.consented_methods(p_user_id, p_account_id) m limit 1), 'no_consented_method') end
$$;
comment on function private.why_no_method(uuid, uuid) is
  'Why nothing can be charged while a person is away: method_expired, method_unusable or no_consented_method; null where a card is good.';
revoke execute on function private.why_no_method(uuid, uuid) from public, anon, authenticated, service_role;

revoke execute on function public.begin_capture(uuid, integer), public.begin_off_session_charge(uuid)
  from public, anon, authenticated, service_role;
grant execute on function public.begin_capture(uuid, integer), public.begin_off_session_charge(uuid) to authenticated, service_role;
