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
  if v_invoice.finalized_at is null or v_invoice.document_kind not in ('invoice', 'tax_invoice') then return; end if;
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
      -- Given up on since: that stands until it is taken back.
      and not exists (select from public.seat_write_offs w where w.attendee_id = l.attendee_id and w.undone_at is null)
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
  if v_invoice.finalized_at is null or v_invoice.is_history or v_invoice.document_kind not in ('invoice', 'tax_invoice') then return; end if;
  select coalesce(sum(a.amount_cents), 0), coalesce(sum(a.refunded_cents), 0) into v_paid, v_refunded
    from public.payment_allocations a where a.invoice_id = p_invoice_id;
  if v_refunded < v_invoice.refund_covered_cents then
    -- A refund failed after all, and a credit note stands for it: what it takes back is now money of the client's.
    perform private.uncover_refunds(p_invoice_id, v_invoice.refund_covered_cents - v_refunded);
    perform private.release_surplus(p_invoice_id);
    return; -- releasing has settled the invoice anew
  end if;
  v_status := case
    when v_invoice.status = 'canceled' then 'canceled'
    -- Taken back whole by credit notes, with nothing paid: as if it had been void, and its seats are free.
    when v_invoice.credited_cents = v_invoice.total_amount_cents and v_invoice.credited_cents > 0 and v_paid + v_refunded = 0 then 'canceled'
    when v_paid + v_refunded + v_invoice.credited_cents - v_invoice.refund_covered_cents < v_invoice.total_amount_cents then 'pending'
    when v_paid = 0 and v_refunded > 0 then 'refunded'
    else 'paid' end;
  update public.invoices set status = v_status, amount_paid_cents = v_paid, amount_refunded_cents = v_refunded,
    paid_at = case when v_status in ('paid', 'refunded') then coalesce(paid_at, now()) end,
    voided_at = case when v_status = 'canceled' then coalesce(voided_at, now()) end
  where id = p_invoice_id and (status, amount_paid_cents, amount_refunded_cents) is distinct from (v_status, v_paid, v_refunded);
  if v_status = 'canceled' and v_invoice.status <> 'canceled' then
    update public.invoice_line_items set released_at = now() where invoice_id = p_invoice_id;
  end if;
  perform private.sync_seats(p_invoice_id);
end $$;
comment on function private.settle_invoice(uuid) is
  'security definer: an invoice is open, paid, refunded or taken back by the sums of its allocations and credit notes alone. Idempotent.';
revoke execute on function private.settle_invoice(uuid) from public, anon, authenticated, service_role;

create or replace function private.uncover_refunds(p_invoice_id uuid, p_amount bigint) returns void
  language plpgsql security definer set search_path = '' as $$
declare
  v_left bigint := p_amount;
  v_note record;
begin
  for v_note in select i.id, i.refund_covered_cents from public.invoices i
                where i.credit_of_invoice_id = p_invoice_id and i.refund_covered_cents > 0 order by i.finalized_at desc, i.id desc loop
    exit when v_left = 0;
    update public.invoices set refund_covered_cents = refund_covered_cents - least(v_left, v_note.refund_covered_cents) where id = v_note.id;
    v_left := v_left - least(v_left, v_note.refund_covered_cents);
  end loop;
  update public.invoices set refund_covered_cents = refund_covered_cents - p_amount where id = p_invoice_id;
end $$;
comment on function private.uncover_refunds(uuid, bigint) is
  'security definer: credit notes no longer stand for money that went back, the last ones first.';
revoke execute on function private.uncover_refunds(uuid, bigint) from public, anon, authenticated, service_role;

create or replace function private.release_surplus(p_invoice_id uuid) returns void
  language plpgsql security definer set search_path = '' as $$
declare
  v_left bigint;
  v_row record;
begin
  -- Two invoices may share payments: whoever releases takes them in one order.
  perform from public.payments p where p.id in (select a.payment_id from public.payment_allocations a where a.invoice_id = p_invoice_id)
    order by p.id for no key update;
  select (select coalesce(sum(a.amount_cents::bigint + a.refunded_cents), 0) from public.payment_allocations a where a.invoice_id = i.id)
      + i.credited_cents - i.refund_covered_cents - i.total_amount_cents
    into v_left from public.invoices i where i.id = p_invoice_id for no key update;
  for v_row in select a.id, a.amount_cents from public.payment_allocations a
               where a.invoice_id = p_invoice_id and a.amount_cents > 0 order by a.created_at desc, a.id desc loop
    exit when v_left <= 0;
    update public.payment_allocations set amount_cents = amount_cents - least(v_left, v_row.amount_cents) where id = v_row.id;
    v_left := v_left - least(v_left, v_row.amount_cents);
  end loop;
  perform private.settle_invoice(p_invoice_id);
end $$;
comment on function private.release_surplus(uuid) is
  'security definer: what an invoice no longer needs goes back to the payments that it came from, as the client''s credit, the last ones first.';
revoke execute on function private.release_surplus(uuid) from public, anon, authenticated, service_role;

create or replace function private.allocate_payment(p_payment_id uuid) returns void
  language plpgsql security definer set search_path = '' as $$
declare
  v_payment public.payments;
  v_invoice public.invoices;
  v_amount bigint;
begin
  select p.* into v_payment from public.payments p where p.id = p_payment_id;
  select * into v_invoice from public.invoices i where i.id = v_payment.invoice_id for no key update;
  select * into v_payment from public.payments p where p.id = p_payment_id for no key update;
  if v_payment.status <> 'paid'
     or exists (select from public.payment_allocations a where a.payment_id = p_payment_id and a.invoice_id = v_invoice.id) then
    return;
  end if;
  v_amount := least(v_payment.amount_cents - v_payment.refunded_cents - v_payment.allocated_cents,
    private.invoice_balance(v_invoice));
  -- What the invoice does not need, because it is paid, void, a draft or history or there is none, stays with the payment, as the
  -- client's credit.
  if v_amount <= 0 then return; end if;
  insert into public.payment_allocations (payment_id, invoice_id, amount_cents, currency)
  values (p_payment_id, v_invoice.id, v_amount, v_payment.currency);
  insert into public.payment_line_items (payment_id, description, amount_cents)
  values (p_payment_id, coalesce(v_invoice.document_number, 'Invoice'), v_amount);
end $$;
comment on function private.allocate_payment(uuid) is
  'security definer: gives a payment that was made to the invoice it was meant for, at most its open balance. Idempotent.';
revoke execute on function private.allocate_payment(uuid) from public, anon, authenticated, service_role;
