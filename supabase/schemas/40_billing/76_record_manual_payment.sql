create or replace function public.record_manual_payment(p_invoice_id uuid, p_amount_cents integer, p_method public.payment_method_type,
  p_reference text default null, p_received_at timestamptz default null, p_idempotency_key text default null) returns uuid
  language plpgsql security definer set search_path = '' as $$
declare
  v_invoice constant public.invoices := private.lock_my_invoice(p_invoice_id, false);
  v_key constant text := 'manual:' || v_invoice.practice_id || ':' || p_idempotency_key;
  v_earlier public.payments;
  v_id uuid;
begin
  if p_method = 'credit_card' then
    perform private.fail(422, 'not_manual', 'Card payments come through the gateway.');
  end if;
  if p_method <> 'cash' and nullif(btrim(p_reference), '') is null then
    perform private.fail(422, 'reference_needed', 'Say what names this payment outside, such as the transfer''s number.');
  end if;
  if p_received_at > now() + interval '1 day' then
    perform private.fail(422, 'received_in_future', 'Money that has not come yet cannot be recorded.');
  end if;
  select * into v_earlier from public.payments p where p.idempotency_key = v_key;
  if found then
    if (v_earlier.invoice_id, v_earlier.amount_cents) = (p_invoice_id, p_amount_cents) then return v_earlier.id; end if;
    perform private.fail(409, 'idempotency_key_reused', 'That key was used for another payment.');
  end if;
  if v_invoice.status <> 'pending' then
    perform private.fail(409, 'invoice_not_open', 'Nothing is to be paid on this invoice.');
  end if;
  if p_amount_cents > v_invoice.total_amount_cents - v_invoice.amount_paid_cents - v_invoice.amount_refunded_cents then
    perform private.fail(422, 'payment_exceeds_balance', 'That is more than is open on the invoice.',
      format('%s is open.', v_invoice.total_amount_cents - v_invoice.amount_paid_cents - v_invoice.amount_refunded_cents));
  end if;
  perform private.drop_open_intent(p_invoice_id);
  insert into public.payments (user_id, amount_cents, currency, description, status, provider, idempotency_key, invoice_id, method_type,
    reference, recorded_by, paid_at)
  values (v_invoice.user_id, p_amount_cents, v_invoice.currency, v_invoice.document_number, 'paid', 'manual', v_key, p_invoice_id,
    p_method, nullif(btrim(p_reference), ''), private.me(), coalesce(p_received_at, now()))
  returning id into v_id;
  perform private.allocate_payment(v_id);
  return v_id;
end $$;
comment on function public.record_manual_payment(uuid, integer, public.payment_method_type, text, timestamptz, text) is
  'security definer: a coach records cash, a transfer, a voucher or the like for an open invoice of her practice, at most its balance. Returns the payment.';
revoke execute on function public.record_manual_payment(uuid, integer, public.payment_method_type, text, timestamptz, text)
  from public, anon, authenticated, service_role;
grant execute on function public.record_manual_payment(uuid, integer, public.payment_method_type, text, timestamptz, text)
  to authenticated, service_role;
