-- When a seat takes a credit and when it gives it back. Both follow from the seat as it stands, so it does not matter how often
-- or in which order that is looked at.

create or replace function private.seat_spends(p_seat public.session_attendees, p_session public.sessions, out attended boolean, out held boolean)
  language plpgsql stable security definer set search_path = '' as $$
declare
  v_outcome public.seat_outcomes;
begin
  select * into v_outcome from public.seat_outcomes o
  where o.attendee_id = p_seat.id and o.kind in ('cancelled', 'no_show') and o.undone_at is null
  order by o.created_at desc, o.id desc limit 1;
  -- Given up or missed: the credit is spent where the whole price is owed.
  if found and (v_outcome.kind = 'no_show' or p_session.status = 'cancelled'
                or not private.takes_a_place(p_seat.role, p_seat.status, p_seat.cancelled_at)) then
    held := v_outcome.waived_at is null and (v_outcome.forfeits or coalesce((v_outcome.tier ->> 'percent')::integer, 0) = 100);
    attended := held;
    return;
  end if;
  held := private.takes_a_place(p_seat.role, p_seat.status, p_seat.cancelled_at) and p_seat.status <> 'invited'
    and p_session.status in ('scheduled', 'in_progress', 'completed');
  attended := held and (p_seat.status = 'checked_in' or p_session.status = 'completed');
end $$;
comment on function private.seat_spends(public.session_attendees, public.sessions) is
  'security definer: outcomes have policies of their own. Whether a seat holds a credit that is spent at booking, and one spent at attendance.';
revoke execute on function private.seat_spends(public.session_attendees, public.sessions) from public, anon, authenticated, service_role;

create or replace function private.sync_credit(p_attendee_id uuid) returns void
  language plpgsql security definer set search_path = '' as $$
declare
  v_seat public.session_attendees;
  v_session public.sessions;
  v_credit public.credits;
  v_spends record;
begin
  -- The seat's lock is what keeps two from taking a credit for the same seat.
  select * into v_seat from public.session_attendees a where a.id = p_attendee_id for no key update;
  select * into v_session from public.sessions s where s.id = v_seat.session_id;
  select * into v_spends from private.seat_spends(v_seat, v_session);
  select k.* into v_credit from public.credits k
  where k.id = (select e.credit_id from public.credit_entries e where e.attendee_id = p_attendee_id
                group by e.credit_id having sum(e.change) < 0 limit 1);
  if found then
    if not (case v_credit.spent_at when 'attendance' then v_spends.attended else v_spends.held end) then
      perform private.return_credit(p_attendee_id);
    end if;
    return;
  end if;
  if not v_spends.held or v_seat.billing_status <> 'unbilled' or v_seat.price_cents = 0
     or exists (select from public.invoice_line_items l where l.attendee_id = p_attendee_id and l.released_at is null) then
    return;
  end if;
  select * into v_credit from public.credits k
  where k.coach_client_id = v_seat.coach_client_id and k.template_id = v_session.template_id and k.balance > 0
    and (k.expires_at is null or k.expires_at > v_session.scheduled_at) and (k.spent_at = 'booking' or v_spends.attended)
  order by k.expires_at nulls last, k.created_at, k.id limit 1
  -- Waits for whoever takes the last one, and then looks again.
  for no key update;
  if not found then return; end if;
  perform private.move_credit(v_credit, -1, 'spent', p_attendee_id);
  perform private.set_seat_billing(p_attendee_id, 'paid');
end $$;
comment on function private.sync_credit(uuid) is
  'security definer: credits are written by nobody. A seat takes the credit that ends first, or gives back the one it had.';
revoke execute on function private.sync_credit(uuid) from public, anon, authenticated, service_role;

create or replace function private.return_credit(p_attendee_id uuid) returns void
  language plpgsql security definer set search_path = '' as $$
declare
  v_credit public.credits;
begin
  perform from public.session_attendees a where a.id = p_attendee_id for no key update;
  select k.* into v_credit from public.credits k
  where k.id = (select e.credit_id from public.credit_entries e where e.attendee_id = p_attendee_id
                group by e.credit_id having sum(e.change) < 0 limit 1);
  if not found then return; end if;
  perform private.move_credit(v_credit, 1, 'returned', p_attendee_id);
  perform private.set_seat_billing(p_attendee_id, 'unbilled');
  -- Moving it has waited for whoever takes the sale back, so that is seen here.
  if exists (select from public.invoice_line_items l join public.invoices i on i.id = l.invoice_id
             where l.id = v_credit.invoice_line_id and i.status in ('canceled', 'refunded')) then
    perform private.move_credit(v_credit, -1, 'withdrawn');
  end if;
end $$;
comment on function private.return_credit(uuid) is
  'security definer: credits are written by nobody. The credit that a seat took goes back, and is withdrawn at once where the sale was taken back.';
revoke execute on function private.return_credit(uuid) from public, anon, authenticated, service_role;

create or replace function private.sync_credit_of_seat() returns trigger
  language plpgsql security definer set search_path = '' as $$
begin
  -- Past sessions that are imported spend nothing.
  if tg_op = 'UPDATE' or exists (select from public.sessions s where s.id = new.session_id and s.status = 'scheduled' and s.scheduled_at > now()) then
    perform private.sync_credit(new.id);
  end if;
  return null;
end $$;
comment on function private.sync_credit_of_seat() is 'security definer: calls a helper that no API role may. Trigger: a seat that is taken or left.';
revoke execute on function private.sync_credit_of_seat() from public, anon, authenticated, service_role;
drop trigger if exists session_attendees_spend on public.session_attendees;
drop trigger if exists session_attendees_spend_new on public.session_attendees;
-- By their names after session_attendees_outcome, whose row they read.
create trigger session_attendees_spend after update of status, cancelled_at on public.session_attendees
  for each row when (new.role <> 'coach' and (old.status, old.cancelled_at) is distinct from (new.status, new.cancelled_at))
  execute function private.sync_credit_of_seat();
create trigger session_attendees_spend_new after insert on public.session_attendees
  for each row when (new.role <> 'coach') execute function private.sync_credit_of_seat();

create or replace function private.sync_credits_of_session() returns trigger
  language plpgsql security definer set search_path = '' as $$
begin
  perform private.sync_credit(a.id) from public.session_attendees a where a.session_id = new.id and a.role <> 'coach' order by a.id;
  return null;
end $$;
comment on function private.sync_credits_of_session() is 'security definer: calls a helper that no API role may. Trigger: a session that took place, was cancelled or missed.';
revoke execute on function private.sync_credits_of_session() from public, anon, authenticated, service_role;
drop trigger if exists sessions_spend on public.sessions;
create trigger sessions_spend after update of status on public.sessions
  for each row when (old.status <> new.status) execute function private.sync_credits_of_session();

create or replace function private.sync_credit_of_outcome() returns trigger
  language plpgsql security definer set search_path = '' as $$
begin
  perform private.sync_credit(new.attendee_id);
  return null;
end $$;
comment on function private.sync_credit_of_outcome() is 'security definer: calls a helper that no API role may. Trigger: a miss, and one that was waived or taken back.';
revoke execute on function private.sync_credit_of_outcome() from public, anon, authenticated, service_role;
drop trigger if exists seat_outcomes_spend_new on public.seat_outcomes;
create trigger seat_outcomes_spend_new after insert on public.seat_outcomes
  for each row when (new.kind = 'no_show') execute function private.sync_credit_of_outcome();
drop trigger if exists seat_outcomes_spend on public.seat_outcomes;
create trigger seat_outcomes_spend after update of waived_at, undone_at on public.seat_outcomes
  for each row execute function private.sync_credit_of_outcome();

create or replace function public.spend_credit(p_attendee_id uuid) returns uuid
  language plpgsql security definer set search_path = '' as $$
declare
  v_seat constant public.session_attendees := private.coached_seat(p_attendee_id);
  v_credit uuid;
begin
  perform private.sync_credit(v_seat.id);
  select e.credit_id into v_credit from public.credit_entries e where e.attendee_id = p_attendee_id
    group by e.credit_id having sum(e.change) < 0;
  if v_credit is null then
    perform private.fail(409, 'no_credit', 'Nothing the client has is good for this seat.',
      'It is billed or free already, not attended yet, or the credits are for other sessions or have ended.');
  end if;
  return v_credit;
end $$;
comment on function public.spend_credit(uuid) is
  'security definer: a coach has a seat of hers, booked before the credits were there, paid with one. Returns the credits; repeating it spends nothing more.';
revoke execute on function public.spend_credit(uuid) from public, anon, authenticated, service_role;
grant execute on function public.spend_credit(uuid) to authenticated;
