-- Kept cards that will never be charged again: the issuer said so, or their month is over. Their owner keeps another one.

create or replace function private.ends_a_card(p_code text) returns boolean
  language sql immutable set search_path = '' as $$
  -- Words of Stripe's and, for Tranzila's 001, 002, 005, 015, 416 and 429, those of loom.providers.payments.tranzila_codes.
  select coalesce(p_code = any ('{expired_card,lost_card,stolen_card,pickup_card,restricted_card,blocked_card,forged_card,invalid_account,
    stop_payment_order,revocation_of_authorization,revocation_of_all_authorizations}'), false)
$$;
comment on function private.ends_a_card(text) is
  'Whether the reason of a decline holds for every later charge of the same card too. A lack of money, a wrong code or an issuer that wants its owner do not.';
revoke execute on function private.ends_a_card(text) from public, anon, authenticated, service_role;

create or replace function private.end_payment_method(p_method_id uuid, p_reason text) returns void
  language plpgsql security definer set search_path = '' as $$
declare
  v_method public.payment_methods;
  v_card text;
  v_about constant jsonb := jsonb_build_object('payment_method_id', p_method_id);
begin
  update public.payment_methods set unusable_at = now(), unusable_reason = p_reason
  where id = p_method_id and unusable_at is null and detached_at is null
  returning * into v_method;
  if not found then return; end if;
  v_card := concat_ws(' ', v_method.brand, v_method.last4);
  perform private.tell(v_method.user_id, 'card_unusable', '/payment-methods/' || p_method_id, v_about,
    (select p.name from public.practices p where p.id = v_method.practice_id), v_card);
  perform private.tell(m.user_id, 'client_card_unusable', '/payment-methods/' || p_method_id, v_about, private.called(v_method.user_id), v_card)
  from public.practice_members m where m.practice_id = v_method.practice_id and m.role = 'owner';
end $$;
comment on function private.end_payment_method(uuid, text) is
  'security definer: writes rows that nobody may write. A kept card is not charged any more; its owner and the owners of the practice are told once.';
revoke execute on function private.end_payment_method(uuid, text) from public, anon, authenticated, service_role;

create or replace function private.end_declined_method() returns trigger
  language plpgsql security definer set search_path = '' as $$
begin
  if private.ends_a_card(new.failure_code) then perform private.end_payment_method(new.method_id, new.failure_code); end if;
  return null;
end $$;
comment on function private.end_declined_method() is
  'security definer: calls a helper that no API role may. Trigger: a decline that holds for good ends the kept card that was charged.';
revoke execute on function private.end_declined_method() from public, anon, authenticated, service_role;
drop trigger if exists payments_end_method on public.payments;
create trigger payments_end_method after update of status on public.payments
  for each row when (new.status = 'failed' and old.status <> 'failed' and new.method_id is not null)
  execute function private.end_declined_method();
