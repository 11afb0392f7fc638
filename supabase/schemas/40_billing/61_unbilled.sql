-- What is owed and on no invoice yet: seats that were held and fees of seats that were not; and one call that bills it all.

create or replace function private.unbilled(p_coach_id uuid, p_from timestamptz, p_until timestamptz)
  returns table (kind text, attendee_id uuid, outcome_id uuid, coach_client_id uuid, amount_cents integer, currency text, arose_at timestamptz,
    description text)
  language sql stable security definer set search_path = '' as $$
  select 'seat', a.id, null::uuid, a.coach_client_id, coalesce(a.price_cents, s.price_cents), coalesce(a.currency, s.currency), s.scheduled_at, s.title
  from public.sessions s join public.session_attendees a on a.session_id = s.id
  where s.coach_id = p_coach_id and s.scheduled_at >= p_from and s.scheduled_at < p_until and s.ends_at <= now()
    and s.status not in ('cancelled', 'rescheduled', 'no_show') and private.takes_a_place(a.role, a.status, a.cancelled_at)
    and a.billing_status = 'unbilled' and coalesce(a.price_cents, s.price_cents) is distinct from 0
    and not exists (select from public.invoice_line_items l where l.attendee_id = a.id and l.released_at is null)
    -- Who gave it up or missed it owes what the terms say for that, not the price.
    and not exists (select from public.seat_outcomes o where o.attendee_id = a.id and o.kind <> 'moved' and o.undone_at is null)
  union all
  select 'fee', o.attendee_id, o.id, a.coach_client_id, o.owed_cents, o.currency, o.created_at, s.title
  from public.seat_outcomes o join public.session_attendees a on a.id = o.attendee_id join public.sessions s on s.id = o.session_id
  where o.coach_id = p_coach_id and o.created_at >= p_from and o.created_at < p_until and o.owed_cents > 0
    -- A seat that was billed or settled before it was given up has its money; what is too much is given back by hand.
    and (o.kind = 'moved' or a.billing_status = 'unbilled')
    and not exists (select from public.invoice_line_items l where l.outcome_id = o.id and l.released_at is null)
    and (o.kind = 'moved' or not exists (select from public.invoice_line_items l where l.attendee_id = a.id and l.released_at is null))
$$;
comment on function private.unbilled(uuid, timestamptz, timestamptz) is
  'security definer: what clients of a coach owe from a time and no invoice has. Seats of sessions that are over, and what was written down for seats given up, moved late or missed.';
revoke execute on function private.unbilled(uuid, timestamptz, timestamptz) from public, anon, authenticated, service_role;

create or replace function public.unbilled_items(p_from timestamptz, p_until timestamptz, p_coach_client_id uuid default null)
  returns table (kind text, attendee_id uuid, outcome_id uuid, coach_client_id uuid, amount_cents integer, currency text, arose_at timestamptz,
    description text)
  language sql stable security definer set search_path = '' as $$
  select u.* from private.unbilled(private.me(), p_from, p_until) u
  where p_coach_client_id is null or u.coach_client_id = p_coach_client_id
  order by u.arose_at, u.attendee_id, u.outcome_id
$$;
comment on function public.unbilled_items(timestamptz, timestamptz, uuid) is
  'security definer: shares private.unbilled with bill_month. What the caller''s clients owe from a time, seats and fees, that no invoice has.';
revoke execute on function public.unbilled_items(timestamptz, timestamptz, uuid) from public, anon, authenticated, service_role;
grant execute on function public.unbilled_items(timestamptz, timestamptz, uuid) to authenticated;

create or replace function private.fee_to_bill(p_invoice public.invoices, p_outcome_id uuid,
  out session_id uuid, out amount_cents integer, out currency text, out description text)
  language plpgsql security definer set search_path = '' as $$
declare
  v_fee public.seat_outcomes;
  v_seat public.session_attendees;
begin
  select o.* into v_fee from public.seat_outcomes o join public.practice_members m on m.user_id = o.coach_id
    where o.id = p_outcome_id and m.practice_id = p_invoice.practice_id for no key update of o;
  if not found then perform private.fail(404, 'not_found', 'There is no such thing here.'); end if;
  select * into v_seat from public.session_attendees a where a.id = v_fee.attendee_id;
  if (v_seat.user_id = p_invoice.user_id or v_seat.coach_client_id = p_invoice.coach_client_id) is not true then
    perform private.fail(422, 'seat_of_other_client', 'That seat is not this client''s.');
  end if;
  if coalesce(v_fee.owed_cents, 0) = 0 then
    perform private.fail(409, 'fee_not_owed', 'Nothing is owed for that: it was waived or undone, or never had a price.');
  end if;
  if v_fee.kind <> 'moved' and (v_seat.billing_status <> 'unbilled'
     or exists (select from public.invoice_line_items l where l.attendee_id = v_seat.id and l.released_at is null)) then
    perform private.fail(409, 'seat_already_billed', 'The seat of that fee is on an invoice, or settled otherwise.',
      'Take the line of the seat off the draft. Where it was paid, give back what is too much.');
  end if;
  session_id := v_fee.session_id;
  amount_cents := v_fee.owed_cents;
  currency := v_fee.currency;
  select left(concat_ws(', ', case v_fee.kind
      when 'cancelled' then case when p.language = 'he' then 'ביטול מאוחר' else 'Late cancellation' end
      when 'moved' then case when p.language = 'he' then 'שינוי מועד מאוחר' else 'Late change' end
      else case when p.language = 'he' then 'אי הגעה' else 'Missed session' end end,
    left(s.title, 400), to_char(s.scheduled_at at time zone p.timezone, 'YYYY-MM-DD')), 500) into description
  from public.sessions s, public.practices p where s.id = v_fee.session_id and p.id = p_invoice.practice_id;
end $$;
comment on function private.fee_to_bill(public.invoices, uuid) is
  'security definer: finds and locks what is owed for a seat given up, moved late or missed, and refuses what is not the client''s, not owed, or of a seat that is billed.';
revoke execute on function private.fee_to_bill(public.invoices, uuid) from public, anon, authenticated, service_role;
