-- Money goes to invoices and back by hand; what was entered by mistake is undone, and all of it stays on record in the journal.

create or replace function private.lock_my_payment(p_payment_id uuid, p_invoice_id uuid default null) returns public.payments
  language plpgsql security definer set search_path = '' as $$
declare
  v_payment public.payments;
begin
  perform from public.payments p where p.id = p_payment_id
    and (not private.acting_as_api() or p.practice_id = any ((select private.my_practice_ids())::uuid[]));
  if not found then perform private.fail(404, 'not_found', 'There is no such thing here.'); end if;
  -- Either the one invoice that the caller has locked, or all of them in one order: two hands never wait for one another.
  perform from public.invoices i where p_invoice_id is null
    and i.id in (select a.invoice_id from public.payment_allocations a where a.payment_id = p_payment_id) order by i.id for no key update;
  select * into v_payment from public.payments p where p.id = p_payment_id for no key update;
  if v_payment.status not in ('paid', 'refunded') then
    perform private.fail(409, 'payment_not_made', 'Only money that came in can be given to an invoice or go back.');
  end if;
  return v_payment;
end $$;
comment on function private.lock_my_payment(uuid, uuid) is
  'security definer: locks a payment of the caller''s practice, which the caller may see but not write; before it all its invoices, unless one is named that is locked already.';
revoke execute on function private.lock_my_payment(uuid, uuid) from public, anon, authenticated, service_role;

create or replace function public.allocate_to_invoice(p_payment_id uuid, p_invoice_id uuid, p_amount_cents integer default null) returns integer
  language plpgsql security definer set search_path = '' as $$
declare
  v_invoice constant public.invoices := private.lock_my_invoice(p_invoice_id, false);
  v_payment constant public.payments := private.lock_my_payment(p_payment_id, p_invoice_id);
  v_amount integer;
begin
  if v_invoice.status <> 'pending' or private.invoice_balance(v_invoice) <= 0 then
    perform private.fail(409, 'invoice_not_open', 'Nothing is to be paid on this invoice.');
  end if;
  v_amount := coalesce(p_amount_cents, least(private.invoice_balance(v_invoice),
    v_payment.amount_cents - greatest(v_payment.refunded_cents, v_payment.refund_reserved_cents) - v_payment.allocated_cents));
  if v_amount <= 0 then
    perform private.fail(case when p_amount_cents is null then 409 else 422 end,
      case when p_amount_cents is null then 'allocation_exceeds_payment' else 'amount_out_of_range' end,
      'The amount must be larger than 0, and the payment must have that much left.');
  end if;
  perform private.drop_open_intent(p_invoice_id);
  insert into public.payment_allocations (payment_id, invoice_id, amount_cents, currency)
  values (p_payment_id, p_invoice_id, v_amount, v_payment.currency)
  on conflict (payment_id, invoice_id) do update set amount_cents = public.payment_allocations.amount_cents + excluded.amount_cents;
  return v_amount;
end $$;
comment on function public.allocate_to_invoice(uuid, uuid, integer) is
  'security definer: a coach gives a part of a payment to an open invoice of the same client, or as much as fits. Returns the amount.';

create or replace function public.release_from_invoice(p_payment_id uuid, p_invoice_id uuid, p_amount_cents integer default null) returns integer
  language plpgsql security definer set search_path = '' as $$
declare
  v_invoice constant public.invoices := private.lock_my_invoice(p_invoice_id, false);
  v_payment constant public.payments := private.lock_my_payment(p_payment_id, p_invoice_id);
  v_there integer;
begin
  select a.amount_cents into v_there from public.payment_allocations a where a.payment_id = v_payment.id and a.invoice_id = v_invoice.id;
  if coalesce(v_there, 0) = 0 then
    perform private.fail(409, 'nothing_allocated', 'Nothing of this payment is on that invoice.');
  elsif coalesce(p_amount_cents, v_there) not between 1 and v_there then
    perform private.fail(422, 'amount_out_of_range', 'More than is there cannot be taken off.', format('%s is there.', v_there));
  end if;
  update public.payment_allocations set amount_cents = amount_cents - coalesce(p_amount_cents, v_there)
    where payment_id = p_payment_id and invoice_id = p_invoice_id;
  return coalesce(p_amount_cents, v_there);
end $$;
comment on function public.release_from_invoice(uuid, uuid, integer) is
  'security definer: a coach takes money off an invoice again; it is open once more, and the money is the client''s credit. Returns the amount.';

create or replace function public.undo_payment(p_payment_id uuid, p_reason text) returns uuid
  language plpgsql security definer set search_path = '' as $$
declare
  v_payment constant public.payments := private.lock_my_payment(p_payment_id);
  v_receipt public.invoices;
  v_refund uuid;
begin
  if v_payment.provider <> 'manual' then
    perform private.fail(409, 'not_manual', 'Only what was recorded by hand is undone.', 'Refund it instead.');
  elsif v_payment.refund_reserved_cents > 0 then
    perform private.fail(409, 'payment_refunded', 'Money of this payment went back; it was made.', 'Refund the rest instead.');
  elsif nullif(btrim(p_reason), '') is null then
    perform private.fail(422, 'reason_needed', 'Say why the payment is undone.');
  end if;
  update public.payment_allocations set amount_cents = 0 where payment_id = p_payment_id and amount_cents > 0;
  insert into public.payment_refunds (payment_id, amount_cents, status, reason, requested_by, metadata)
  values (p_payment_id, v_payment.amount_cents, 'succeeded', p_reason, private.me(), '{"undone": true}')
  returning id into v_refund;
  select * into v_receipt from public.invoices i where i.payment_id = p_payment_id for no key update;
  if found then
    perform private.make_credit_note(v_receipt, v_receipt.total_amount_cents, v_receipt.tax_cents, p_reason);
    update public.invoices set credited_cents = total_amount_cents where id = v_receipt.id;
  end if;
  return v_refund;
end $$;
comment on function public.undo_payment(uuid, text) is
  'security definer: a coach undoes a payment that was recorded by mistake: its invoices are open again, its receipt is taken back, and the payment stays on record as undone. Returns the refund that says so.';

revoke execute on function public.allocate_to_invoice(uuid, uuid, integer), public.release_from_invoice(uuid, uuid, integer),
  public.undo_payment(uuid, text) from public, anon, authenticated, service_role;
grant execute on function public.allocate_to_invoice(uuid, uuid, integer), public.release_from_invoice(uuid, uuid, integer),
  public.undo_payment(uuid, text) to authenticated, service_role;
