-- Money that came outside any gateway, as the coach says it did.

create or replace function private.check_manual(p_method public.payment_method_type, p_reference text, p_received_at timestamptz) returns void
  language plpgsql stable set search_path = '' as $$
begin
  if p_method = 'credit_card' then
    perform private.fail(422, 'not_manual', 'Card payments come through the gateway.');
  end if;
  if p_method <> 'cash' and private.plain_reference(p_reference) is null then
    perform private.fail(422, 'reference_needed', 'Say what names this payment outside, such as the transfer''s number.');
  end if;
  if p_received_at < '2000-01-01 00:00:00+00' then
    perform private.fail(422, 'received_too_early', 'Money of before the year 2000 is not recorded.', 'Look at the year of received_at.');
  end if;
  if p_received_at > now() + interval '1 day' then
    perform private.fail(422, 'received_in_future', 'Money that has not come yet cannot be recorded.');
  end if;
end $$;
comment on function private.check_manual(public.payment_method_type, text, timestamptz) is 'Refuses what cannot have come by hand.';
revoke execute on function private.check_manual(public.payment_method_type, text, timestamptz) from public, anon, authenticated, service_role;

create or replace function public.record_manual_payment(p_invoice_id uuid, p_amount_cents integer, p_method public.payment_method_type,
  p_reference text default null, p_received_at timestamptz default null, p_idempotency_key text default null,
  p_keep_rest boolean default false) returns uuid
  language plpgsql security definer set search_path = '' as $$
declare
  v_invoice constant public.invoices := private.lock_my_invoice(p_invoice_id, false);
  v_key constant text := 'manual:' || v_invoice.practice_id || ':' || p_idempotency_key;
  v_earlier public.payments;
  v_id uuid;
begin
  perform private.check_manual(p_method, p_reference, p_received_at);
  select * into v_earlier from public.payments p where p.idempotency_key = v_key;
  if found then
    if (v_earlier.invoice_id, v_earlier.amount_cents) = (p_invoice_id, p_amount_cents) then return v_earlier.id; end if;
    perform private.fail(409, 'idempotency_key_reused', 'That key was used for another payment.');
  end if;
  if v_invoice.status <> 'pending' or v_invoice.document_kind not in ('invoice', 'tax_invoice') then
    perform private.fail(409, 'invoice_not_open', 'Nothing is to be paid on this invoice.');
  end if;
  -- More than is open is a typing error more often than a present.
  if p_amount_cents > private.invoice_balance(v_invoice) and not p_keep_rest then
    perform private.fail(422, 'payment_exceeds_balance', 'That is more than is open on the invoice.',
      format('%s is open. Say keep_rest to keep what is over as the client''s credit.', private.invoice_balance(v_invoice)));
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
comment on function public.record_manual_payment(uuid, integer, public.payment_method_type, text, timestamptz, text, boolean) is
  'security definer: a coach records cash, a transfer, a voucher or the like for an open invoice of her practice. More than its balance only if she says so; the rest is then the client''s credit. Returns the payment.';
revoke execute on function public.record_manual_payment(uuid, integer, public.payment_method_type, text, timestamptz, text, boolean)
  from public, anon, authenticated, service_role;
grant execute on function public.record_manual_payment(uuid, integer, public.payment_method_type, text, timestamptz, text, boolean)
  to authenticated, service_role;

create or replace function public.record_payment_on_account(p_coach_client_id uuid, p_amount_cents integer, p_currency text,
  p_method public.payment_method_type, p_reference text default null, p_received_at timestamptz default null,
  p_allocations jsonb default '[]', p_description text default null) returns uuid
  language plpgsql security definer set search_path = '' as $$
declare
  v_client public.coach_clients;
  v_practice_id uuid;
  v_part record;
  v_id uuid;
begin
  select c.*, m.practice_id into v_client.id, v_client.coach_id, v_client.client_id, v_practice_id
  from (select c.id, c.coach_id, c.client_id from public.coach_clients c where c.id = p_coach_client_id) c
  join public.practice_members m on m.user_id = c.coach_id
  where m.practice_id = any ((select private.my_practice_ids())::uuid[]);
  if not found then perform private.fail(404, 'not_found', 'There is no such thing here.'); end if;
  perform private.check_manual(p_method, p_reference, p_received_at);
  if not coalesce(private.is_currency(p_currency), false) then
    perform private.fail(422, 'currency_unknown', 'There is no such currency.');
  end if;
  if jsonb_typeof(p_allocations) <> 'array' then perform private.fail(422, 'invalid_line', 'Allocations are a list.'); end if;
  -- Invoices first and in one order, as everywhere.
  perform from public.invoices i where i.id in (select (x ->> 'invoice_id')::uuid from jsonb_array_elements(p_allocations) x)
    and i.practice_id = v_practice_id order by i.id for no key update;
  insert into public.payments (user_id, coach_client_id, practice_id, amount_cents, currency, description, status, provider, method_type,
    reference, recorded_by, paid_at)
  values (v_client.client_id, v_client.id, v_practice_id, p_amount_cents, p_currency, p_description, 'paid', 'manual', p_method,
    nullif(btrim(p_reference), ''), private.me(), coalesce(p_received_at, now()))
  returning id into v_id;
  for v_part in select * from jsonb_to_recordset(p_allocations) as x (invoice_id uuid, amount_cents integer) loop
    perform public.allocate_to_invoice(v_id, v_part.invoice_id, v_part.amount_cents);
  end loop;
  return v_id;
end $$;
comment on function public.record_payment_on_account(uuid, integer, text, public.payment_method_type, text, timestamptz, jsonb, text) is
  'security definer: a coach records money of a client of her practice that is for several invoices, [{invoice_id, amount_cents}], or for none yet. What no invoice gets is the client''s credit. Returns the payment.';
revoke execute on function public.record_payment_on_account(uuid, integer, text, public.payment_method_type, text, timestamptz, jsonb, text)
  from public, anon, authenticated, service_role;
grant execute on function public.record_payment_on_account(uuid, integer, text, public.payment_method_type, text, timestamptz, jsonb, text)
  to authenticated;
