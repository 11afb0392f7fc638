-- Guards of payments: what is filled in, which moves are legal, and that none is deleted.

create or replace function private.fill_payment(inout p public.payments)
  language plpgsql stable security definer set search_path = '' as $$
declare
  v record;
begin
  if p.intent_id is not null then
    select i.practice_id, i.user_id, i.invoice_id, i.gateway_account_id, i.currency, i.payment_method_id
      into v from public.payment_intents i where i.id = p.intent_id;
    if p.currency <> v.currency then
      perform private.fail(422, 'currency_mismatch', format('The intent is in %s, the payment in %s.', v.currency, p.currency));
    end if;
    p.practice_id := coalesce(p.practice_id, v.practice_id);
    p.user_id := coalesce(p.user_id, v.user_id);
    p.invoice_id := coalesce(p.invoice_id, v.invoice_id);
    p.gateway_account_id := coalesce(p.gateway_account_id, v.gateway_account_id);
    p.method_id := coalesce(p.method_id, v.payment_method_id);
  end if;
  if p.invoice_id is not null then
    select i.practice_id, i.user_id, i.currency, i.coach_client_id into v from public.invoices i where i.id = p.invoice_id;
    if p.currency <> v.currency then
      perform private.fail(422, 'currency_mismatch', format('The invoice is in %s, the payment in %s.', v.currency, p.currency));
    end if;
    p.practice_id := coalesce(p.practice_id, v.practice_id);
    p.user_id := coalesce(p.user_id, v.user_id);
    p.coach_client_id := coalesce(p.coach_client_id, v.coach_client_id);
  end if;
  if p.session_id is not null and p.practice_id is null then
    p.practice_id := (select m.practice_id from public.sessions s join public.practice_members m on m.user_id = s.coach_id
                      where s.id = p.session_id);
  end if;
  if p.coach_client_id is null and p.practice_id is not null then
    p.coach_client_id := (select c.id from public.coach_clients c join public.practice_members m on m.user_id = c.coach_id
      where c.client_id = p.user_id and m.practice_id = p.practice_id order by c.created_at, c.id limit 1);
  end if;
  if p.method_id is not null and p.method_type is null then
    p.method_type := (select m.type from public.payment_methods m where m.id = p.method_id);
  end if;
end $$;
comment on function private.fill_payment(public.payments) is
  'security definer: practice, payer and the rest follow from the intent, invoice or session that a plain insert names.';
revoke execute on function private.fill_payment(public.payments) from public, anon, authenticated, service_role;

create or replace function private.plain_reference(p_reference text) returns text
  language sql immutable set search_path = '' as $$
  -- What nobody sees must not make another voucher of one: direction marks come along where Hebrew is copied.
  select nullif(btrim(regexp_replace(
    regexp_replace(p_reference, '[\u0001-\u0008\u000E-\u001F\u007F-\u009F\u00AD\u061C\u180E\u200B-\u200F\u202A-\u202E\u2060-\u2069\uFEFF]', '', 'g'),
    '[\u0009-\u000D\u0020\u00A0\u1680\u2000-\u200A\u2028\u2029\u202F\u205F\u3000]+', ' ', 'g')), '')
$$;
comment on function private.plain_reference(text) is
  'What names a payment outside, without invisible characters and with single spaces; null where nothing is left.';
revoke execute on function private.plain_reference(text) from public, anon, authenticated, service_role;

create or replace function private.keep_payment() returns trigger
  language plpgsql security definer set search_path = '' as $$
begin
  if tg_op = 'DELETE' then
    perform private.fail(409, 'money_is_kept', 'Payments are never deleted.', 'Cancel or refund it instead.');
  end if;
  new.reference := private.plain_reference(new.reference);
  if tg_op = 'INSERT' or (new.intent_id, new.invoice_id, new.session_id, new.method_id)
       is distinct from (old.intent_id, old.invoice_id, old.session_id, old.method_id) then
    new := private.fill_payment(new);
  end if;
  if tg_op = 'INSERT' then
    if new.status = 'refunded' then
      new.refunded_cents := new.amount_cents;
      new.refund_reserved_cents := new.amount_cents;
    end if;
    if new.status in ('paid', 'refunded') then new.paid_at := coalesce(new.paid_at, now()); end if;
    return new;
  end if;
  if new.status <> old.status and not (
       (old.status = 'pending' and new.status in ('paid', 'failed', 'canceled'))
       -- Money that came late is money: the gateway proves it.
       or (old.status in ('failed', 'canceled') and new.status = 'paid')
       or (old.status = 'paid' and new.status = 'refunded' and new.refunded_cents = new.amount_cents)
       or (old.status = 'refunded' and new.status = 'paid' and new.refunded_cents < new.amount_cents)) then
    perform private.fail(409, 'illegal_transition', format('A payment does not go from %s to %s.', old.status, new.status));
  end if;
  if old.status in ('paid', 'refunded') and (new.amount_cents, new.currency, new.provider, new.practice_id, new.coach_client_id)
       is distinct from (old.amount_cents, old.currency, old.provider, coalesce(old.practice_id, new.practice_id),
         coalesce(old.coach_client_id, new.coach_client_id)) then
    perform private.fail(409, 'payment_final', 'The amount of a payment that was made never changes.', 'Refund it instead.');
  end if;
  if old.user_id is not null and new.user_id is null and new.status in ('paid', 'refunded', 'pending') then
    perform private.fail(409, 'person_has_money', 'Someone who paid cannot be deleted.', 'Deactivate or anonymise the account instead.');
  end if;
  if new.status = 'paid' then
    new.paid_at := coalesce(new.paid_at, now());
    new.failure_code := null;
    new.failure_message := null;
  end if;
  return new;
end $$;
comment on function private.keep_payment() is
  'security definer: fills what follows from intent, invoice or session, whoever writes; holds payments to their legal moves.';
revoke execute on function private.keep_payment() from public, anon, authenticated, service_role;
drop trigger if exists payments_whole on public.payments;
create trigger payments_whole before truncate on public.payments
  for each statement execute function private.refuse_money_delete();
drop trigger if exists payments_keep on public.payments;
create trigger payments_keep before insert or update or delete on public.payments
  for each row execute function private.keep_payment();
