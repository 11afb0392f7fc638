-- A time that is held is paid for before there is a session: the payment makes the session, the seat's invoice pays for it, and
-- money that came too late goes back.

create or replace function private.payable_hold(p_request_id uuid) returns public.booking_requests
  language plpgsql security definer set search_path = '' as $$
declare
  v_hold public.booking_requests;
begin
  select * into v_hold from public.booking_requests r where r.id = p_request_id
    and (not private.acting_as_api() or r.client_id = private.me()) for no key update;
  if not found then
    perform private.fail(404, 'not_found', 'There is no such thing here.');
  elsif v_hold.kind <> 'hold' then
    perform private.fail(409, 'approval_needed', 'The coach has not answered yet.', 'What the coach says yes to is billed later.');
  elsif v_hold.status <> 'pending' then
    perform private.fail(409, 'request_closed', format('It is %s already.', v_hold.status));
  elsif v_hold.expires_at <= now() then
    perform private.fail(409, 'hold_expired', 'The time was held for you, and no longer is.', 'Hold it again if it is still free.');
  end if;
  return v_hold;
end $$;
comment on function private.payable_hold(uuid) is
  'security definer: requests are locked by nobody directly. A hold that its client may pay for now, locked.';
revoke execute on function private.payable_hold(uuid) from public, anon, authenticated, service_role;

create or replace function public.begin_hold_payment(p_request_id uuid, p_channel text default 'direct') returns uuid
  language plpgsql security definer set search_path = '' as $$
declare
  v_hold constant public.booking_requests := private.payable_hold(p_request_id);
  v_practice public.practices;
  v_price bigint;
begin
  if coalesce(v_hold.price_cents, 0) = 0 then
    perform private.fail(409, 'nothing_to_pay', 'This time has no price.', 'Accept the hold, or ask the coach.');
  end if;
  select p.* into v_practice from public.practices p join public.practice_members m on m.practice_id = p.id where m.user_id = v_hold.coach_id;
  -- What the invoice of the seat will say, tax included.
  v_price := v_hold.price_cents + case when v_practice.prices_include_tax then 0 else private.tax_in(v_hold.price_cents,
    private.rate_of(v_practice, (now() at time zone v_practice.timezone)::date), false) end;
  -- Money needs somebody whose it is, also where the time is lost in the end.
  perform private.relate(v_hold.coach_id, v_hold.client_id, 'booking');
  return private.make_intent(jsonb_populate_record(null::public.payment_intents, jsonb_build_object('practice_id', v_practice.id,
    'user_id', v_hold.client_id, 'booking_request_id', p_request_id, 'amount_cents', v_price, 'currency', v_hold.currency,
    'channel', p_channel, 'capture_method', 'automatic')));
end $$;
comment on function public.begin_hold_payment(uuid, text) is
  'security definer: a client begins to pay for a time that is held for the client. Returns the intent: the open one if there is one. Once it is paid the time is a session.';
revoke execute on function public.begin_hold_payment(uuid, text) from public, anon, authenticated, service_role;
grant execute on function public.begin_hold_payment(uuid, text) to authenticated, service_role;

create or replace function private.seat_of_paid_hold(p_intent public.payment_intents) returns public.payment_intents
  language plpgsql security definer set search_path = '' as $$
declare
  v_before text;
  v_hold public.booking_requests;
  v_seat public.session_attendees;
  v_title text;
begin
  if p_intent.booking_request_id is null or p_intent.invoice_id is not null then return p_intent; end if;
  select r.status into v_before from public.booking_requests r where r.id = p_intent.booking_request_id;
  perform private.book_paid_hold(p_intent.booking_request_id);
  select * into v_hold from public.booking_requests r where r.id = p_intent.booking_request_id;
  select t.title into v_title from public.session_templates t where t.id = v_hold.template_id;
  if v_hold.session_id is null then
    perform private.tell(v_hold.client_id, 'hold_lost', '/booking-requests/' || v_hold.id, jsonb_build_object('request_id', v_hold.id),
      private.called(v_hold.coach_id), v_title, v_hold.starts_at);
    perform private.tell(v_hold.coach_id, 'hold_refunded', '/booking-requests/' || v_hold.id, jsonb_build_object('request_id', v_hold.id),
      private.called(v_hold.client_id), v_title, v_hold.starts_at);
    return p_intent;
  end if;
  select * into v_seat from public.session_attendees a where a.session_id = v_hold.session_id and a.role = 'client';
  p_intent.invoice_id := private.invoice_of_paid_seat(v_seat);
  if p_intent.invoice_id is not null then
    update public.payment_intents set invoice_id = p_intent.invoice_id where id = p_intent.id;
  end if;
  if v_before = 'pending' then
    perform private.tell(v_hold.client_id, 'hold_booked', '/sessions/' || v_hold.session_id,
      jsonb_build_object('session_id', v_hold.session_id), private.called(v_hold.coach_id), v_title, v_hold.starts_at);
    perform private.tell(v_hold.coach_id, 'session_booked', '/sessions/' || v_hold.session_id,
      jsonb_build_object('session_id', v_hold.session_id), private.called(v_hold.client_id), v_title, v_hold.starts_at);
    -- As for every booking that a person makes: the service made the row, but the client did the booking.
    perform private.say_of_session(s, 'session_booked', v_hold.client_id) from public.sessions s where s.id = v_hold.session_id;
    perform private.enqueue('calendars.send_invitation', jsonb_build_object('attendee_id', v_seat.id), null, 'calendar:' || v_seat.id,
      'calendar:' || v_seat.id);
  end if;
  return p_intent;
end $$;
comment on function private.seat_of_paid_hold(public.payment_intents) is
  'security definer: under the lock of the hold. What was held and is now paid for becomes a session with an issued invoice, which the intent then names; both people are told. An intent of an invoice stays as it is.';
revoke execute on function private.seat_of_paid_hold(public.payment_intents) from public, anon, authenticated, service_role;

create or replace function private.invoice_of_paid_seat(p_seat public.session_attendees) returns uuid
  language plpgsql security definer set search_path = '' as $$
declare
  v_invoice public.invoices;
begin
  select i.* into v_invoice from public.invoice_line_items l join public.invoices i on i.id = l.invoice_id
    where l.attendee_id = p_seat.id and l.released_at is null;
  if found then
    -- Taken as paid by the coach meanwhile, or paid twice. A draft is the coach's to finish; the money waits as credit.
    return case when v_invoice.finalized_at is not null then v_invoice.id end;
  end if;
  -- Given up meanwhile: the money waits as credit, for the fee or to go back.
  if private.seat_given_up(p_seat) then return null; end if;
  perform private.return_credit(p_seat.id);
  return private.invoice_seat(p_seat.id);
end $$;
comment on function private.invoice_of_paid_seat(public.session_attendees) is
  'security definer: the issued invoice of a seat that a card paid for, made where there is none; null where the coach has it on a draft, or it was given up.';
revoke execute on function private.invoice_of_paid_seat(public.session_attendees) from public, anon, authenticated, service_role;

create or replace function private.give_back_surplus(p_payment_id uuid, p_intent public.payment_intents) returns void
  language plpgsql security definer set search_path = '' as $$
declare
  v_payment public.payments;
  v_left integer;
  v_refund uuid;
begin
  select * into v_payment from public.payments p where p.id = p_payment_id;
  v_left := v_payment.amount_cents - v_payment.allocated_cents - v_payment.refund_reserved_cents;
  if v_left <= 0 or v_payment.status <> 'paid'
     or (p_intent.invoice_id is null and exists (select from public.booking_requests r
           where r.id = p_intent.booking_request_id and r.session_id is not null)) then
    return;
  end if;
  -- The row is there before the gateway is asked; where the job is lost the repair finds it.
  v_refund := public.request_refund(p_payment_id, v_left,
    case when p_intent.invoice_id is null then 'Paid when the time was no longer free.' else 'Paid more than once.' end,
    'hold:' || p_payment_id);
  perform private.enqueue('billing.send_refund', jsonb_build_object('refund_id', v_refund));
end $$;
comment on function private.give_back_surplus(uuid, public.payment_intents) is
  'security definer: what was paid for a hold and no seat needs goes back by itself, once. Money for a seat that is on a draft waits as the client''s credit.';
revoke execute on function private.give_back_surplus(uuid, public.payment_intents) from public, anon, authenticated, service_role;

create or replace function private.drop_stale_hold_payments() returns void
  language plpgsql security definer set search_path = '' as $$
declare
  v_stale record;
begin
  for v_stale in
    select i.id, i.booking_request_id from public.payment_intents i join public.booking_requests r on r.id = i.booking_request_id
    where i.status in ('requires_payment_method', 'requires_confirmation')
      and (r.status <> 'pending' or r.expires_at < now() - interval '1 hour' or r.starts_at <= now())
    order by i.id limit 50
    for no key update of r skip locked
  loop
    -- It may have been paid since it was chosen; a payment under way is waited for.
    if (select i.status from public.payment_intents i where i.id = v_stale.id for no key update) <> 'processing' then
      perform private.drop_intent(v_stale.id);
    end if;
  end loop;
end $$;
comment on function private.drop_stale_hold_payments() is
  'security definer: an open payment page of a time that is no longer held would take money only to give it back. Closes those whose hold ended otherwise or ran out an hour ago.';
revoke execute on function private.drop_stale_hold_payments() from public, anon, authenticated, service_role;
