-- What follows from money: the state of an invoice, and the billing state of the seats on it.

create or replace function private.set_seat_billing(p_attendee_id uuid, p_status public.session_billing_status) returns void
  language sql security definer set search_path = '' as $$
  update public.session_attendees set billing_status = p_status where id = p_attendee_id and billing_status <> p_status
$$;
comment on function private.set_seat_billing(uuid, public.session_billing_status) is
  'security definer: the only writer of the billing state of a seat; the session''s own follows by trigger.';
revoke execute on function private.set_seat_billing(uuid, public.session_billing_status) from public, anon, authenticated, service_role;

create or replace function private.sync_seats(p_invoice_id uuid) returns void
  language plpgsql security definer set search_path = '' as $$
declare
  v_invoice public.invoices;
  v_wanted public.session_billing_status;
  v_seat record;
begin
  select * into v_invoice from public.invoices i where i.id = p_invoice_id;
  if v_invoice.finalized_at is null then return; end if;
  v_wanted := case
    when v_invoice.status = 'canceled' then 'unbilled'
    when v_invoice.status = 'paid' then 'paid'
    when v_invoice.status = 'refunded' then 'written_off' -- nothing more is expected
    when v_invoice.written_off_at is not null then 'written_off'
    else 'awaiting_payment' end;
  -- Ordered, so that two invoices over the same sessions take their locks in one order.
  for v_seat in
    select l.attendee_id, l.session_id, s.type = 'individual' as alone
    from public.invoice_line_items l join public.sessions s on s.id = l.session_id
    where l.invoice_id = p_invoice_id and l.attendee_id is not null
      -- A seat that was released and billed again belongs to the newer line.
      and (l.released_at is null or not exists (select from public.invoice_line_items o
             where o.attendee_id = l.attendee_id and o.released_at is null))
    order by l.session_id, l.attendee_id
  loop
    perform private.set_seat_billing(v_seat.attendee_id, v_wanted);
    -- A session of one client names its invoice; those of groups have one per seat.
    if v_seat.alone then
      update public.sessions s set invoice_id = nullif(p_invoice_id, case when v_wanted = 'unbilled' then p_invoice_id end)
      where s.id = v_seat.session_id and s.invoice_id is distinct from nullif(p_invoice_id, case when v_wanted = 'unbilled' then p_invoice_id end);
    end if;
  end loop;
end $$;
comment on function private.sync_seats(uuid) is
  'security definer: billing states of the seats on an invoice are derived from it, whoever moved it.';
revoke execute on function private.sync_seats(uuid) from public, anon, authenticated, service_role;

create or replace function private.settle_invoice(p_invoice_id uuid) returns void
  language plpgsql security definer set search_path = '' as $$
declare
  v_invoice public.invoices;
  v_paid bigint;
  v_refunded bigint;
  v_status public.payment_status;
begin
  select * into v_invoice from public.invoices i where i.id = p_invoice_id for no key update;
  if v_invoice.finalized_at is null then return; end if;
  select coalesce(sum(a.amount_cents), 0), coalesce(sum(a.refunded_cents), 0) into v_paid, v_refunded
    from public.payment_allocations a where a.invoice_id = p_invoice_id;
  v_status := case
    when v_invoice.status = 'canceled' then 'canceled'
    when v_paid + v_refunded < v_invoice.total_amount_cents then 'pending'
    when v_paid = 0 and v_refunded > 0 then 'refunded'
    else 'paid' end;
  update public.invoices set status = v_status, amount_paid_cents = v_paid, amount_refunded_cents = v_refunded,
    paid_at = case when v_status in ('paid', 'refunded') then coalesce(paid_at, now()) end
  where id = p_invoice_id and (status, amount_paid_cents, amount_refunded_cents) is distinct from (v_status, v_paid, v_refunded);
  perform private.sync_seats(p_invoice_id);
end $$;
comment on function private.settle_invoice(uuid) is
  'security definer: an invoice is open, paid or refunded by the sums of its allocations alone. Idempotent.';
revoke execute on function private.settle_invoice(uuid) from public, anon, authenticated, service_role;

create or replace function private.allocate_payment(p_payment_id uuid) returns void
  language plpgsql security definer set search_path = '' as $$
declare
  v_payment public.payments;
  v_invoice public.invoices;
  v_amount bigint;
begin
  select p.* into v_payment from public.payments p where p.id = p_payment_id;
  if v_payment.invoice_id is null then return; end if;
  select * into v_invoice from public.invoices i where i.id = v_payment.invoice_id for no key update;
  select * into v_payment from public.payments p where p.id = p_payment_id for no key update;
  if v_payment.status <> 'paid' or v_invoice.finalized_at is null or v_invoice.status = 'canceled'
     or exists (select from public.payment_allocations a where a.payment_id = p_payment_id and a.invoice_id = v_invoice.id) then
    return;
  end if;
  v_amount := least(v_payment.amount_cents - v_payment.refunded_cents - v_payment.allocated_cents,
    v_invoice.total_amount_cents - v_invoice.amount_paid_cents - v_invoice.amount_refunded_cents);
  -- What the invoice no longer needs stays with the payment, as the client's credit.
  if v_amount <= 0 then return; end if;
  insert into public.payment_allocations (payment_id, invoice_id, amount_cents, currency)
  values (p_payment_id, v_invoice.id, v_amount, v_payment.currency);
  insert into public.payment_line_items (payment_id, description, amount_cents)
  values (p_payment_id, coalesce(v_invoice.document_number, 'Invoice'), v_amount);
end $$;
comment on function private.allocate_payment(uuid) is
  'security definer: gives a payment that was made to the invoice it was meant for, at most its open balance. Idempotent.';
revoke execute on function private.allocate_payment(uuid) from public, anon, authenticated, service_role;
