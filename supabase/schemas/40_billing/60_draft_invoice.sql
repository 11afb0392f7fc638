-- The coach bundles seats and add-ons of one client into a draft.

create or replace function private.lock_my_invoice(p_invoice_id uuid, p_draft boolean) returns public.invoices
  language plpgsql security definer set search_path = '' as $$
declare
  v_invoice public.invoices;
begin
  select * into v_invoice from public.invoices i where i.id = p_invoice_id
    and (not private.acting_as_api() or i.practice_id = any ((select private.my_practice_ids())::uuid[])) for no key update;
  if not found then perform private.fail(404, 'not_found', 'There is no such thing here.'); end if;
  if p_draft and v_invoice.finalized_at is not null then
    perform private.fail(409, 'invoice_final', 'The invoice is finalised and never changes.', 'Void it and make another.');
  elsif not p_draft and v_invoice.finalized_at is null then
    perform private.fail(409, 'invoice_draft', 'The invoice is still a draft.', 'Finalise it first.');
  end if;
  return v_invoice;
end $$;
comment on function private.lock_my_invoice(uuid, boolean) is
  'security definer: locks an invoice of the caller''s practice, which the caller may see but not write.';
revoke execute on function private.lock_my_invoice(uuid, boolean) from public, anon, authenticated, service_role;

create or replace function private.put_line(p_invoice public.invoices, p_line jsonb) returns uuid
  language plpgsql security definer set search_path = '' as $$
declare
  v_line record;
  v_seat record;
  v_fee record;
  v_id uuid;
  v_key text;
begin
  if jsonb_typeof(p_line) <> 'object' then
    perform private.fail(422, 'invalid_line', 'A line is an object.');
  end if;
  select k into v_key from jsonb_object_keys(p_line) k
    where k not in ('attendee_id', 'session_id', 'outcome_id', 'description', 'quantity', 'amount_cents', 'discount_cents') limit 1;
  if v_key is not null then perform private.fail(422, 'invalid_line', format('A line has no %L.', v_key)); end if;
  select * into v_line from jsonb_to_record(p_line) as x
    (attendee_id uuid, session_id uuid, outcome_id uuid, description text, quantity integer, amount_cents integer, discount_cents integer);
  if v_line.outcome_id is not null then
    if num_nonnulls(v_line.attendee_id, v_line.session_id) > 0 or coalesce(v_line.quantity, 1) <> 1 then
      perform private.fail(422, 'invalid_line', 'A fee is billed once, on a line of its own.');
    end if;
    v_fee := private.fee_to_bill(p_invoice, v_line.outcome_id);
    v_line.session_id := v_fee.session_id;
    v_line.amount_cents := coalesce(v_line.amount_cents, v_fee.amount_cents);
    v_line.description := coalesce(v_line.description, v_fee.description);
    if v_fee.currency <> p_invoice.currency then
      perform private.fail(422, 'currency_mismatch', format('The invoice is in %s, the fee in %s.', p_invoice.currency, v_fee.currency));
    end if;
  elsif num_nonnulls(v_line.attendee_id, v_line.session_id) > 0 then
    v_seat := private.seat_to_bill(p_invoice, v_line.attendee_id, v_line.session_id);
    if coalesce(v_line.quantity, 1) <> 1 then
      perform private.fail(422, 'invalid_line', 'A seat is billed once.');
    end if;
    v_line.attendee_id := v_seat.attendee_id;
    v_line.session_id := v_seat.session_id;
    v_line.amount_cents := coalesce(v_line.amount_cents, v_seat.price_cents);
    v_line.description := coalesce(v_line.description, v_seat.description);
    if v_line.amount_cents is null then
      perform private.fail(422, 'seat_without_price', 'The seat has no price yet.', 'Give amount_cents with the line.');
    end if;
    if v_line.amount_cents <> 0 and v_seat.currency <> p_invoice.currency then
      perform private.fail(422, 'currency_mismatch', format('The invoice is in %s, the seat in %s.', p_invoice.currency, v_seat.currency));
    end if;
  elsif v_line.description is null or v_line.amount_cents is null then
    perform private.fail(422, 'invalid_line', 'A line needs a seat, or a description and an amount.');
  end if;
  if (select count(*) from public.invoice_line_items l where l.invoice_id = p_invoice.id) >= 200 then
    perform private.fail(422, 'too_many_lines', 'An invoice has at most 200 lines.', 'Make another.');
  end if;
  insert into public.invoice_line_items (invoice_id, session_id, attendee_id, outcome_id, description, quantity, amount_cents, discount_cents)
  values (p_invoice.id, v_line.session_id, v_line.attendee_id, v_line.outcome_id, v_line.description, coalesce(v_line.quantity, 1), v_line.amount_cents,
    coalesce(v_line.discount_cents, 0))
  returning id into v_id;
  return v_id;
end $$;
comment on function private.put_line(public.invoices, jsonb) is
  'security definer: writes a line for API functions, after they have locked an invoice of the caller''s own.';
revoke execute on function private.put_line(public.invoices, jsonb) from public, anon, authenticated, service_role;

create or replace function private.seat_given_up(p_seat public.session_attendees) returns boolean
  language sql stable security definer set search_path = '' as $$
  select not private.takes_a_place(p_seat.role, p_seat.status, p_seat.cancelled_at)
    or exists (select from public.seat_outcomes o where o.attendee_id = p_seat.id and o.kind <> 'moved' and o.undone_at is null)
$$;
comment on function private.seat_given_up(public.session_attendees) is
  'security definer: outcomes have policies of their own. Whether a seat was given up or missed: it owes what its outcome says, and not its price.';
revoke execute on function private.seat_given_up(public.session_attendees) from public, anon, authenticated, service_role;

create or replace function private.seat_to_bill(p_invoice public.invoices, p_attendee_id uuid, p_session_id uuid,
  out attendee_id uuid, out session_id uuid, out price_cents integer, out currency text, out description text)
  language plpgsql security definer set search_path = '' as $$
declare
  v_seat public.session_attendees;
  v_session public.sessions;
begin
  select a.* into v_seat
  from public.session_attendees a
  join public.sessions s on s.id = a.session_id
  join public.practice_members m on m.user_id = s.coach_id and m.practice_id = p_invoice.practice_id
  where a.role <> 'coach' and (p_session_id is null or a.session_id = p_session_id)
    and case when p_attendee_id is not null then a.id = p_attendee_id
             else a.user_id = p_invoice.user_id or a.coach_client_id = p_invoice.coach_client_id end
  for no key update of a;
  if not found then perform private.fail(404, 'not_found', 'There is no such thing here.'); end if;
  if (v_seat.user_id = p_invoice.user_id or v_seat.coach_client_id = p_invoice.coach_client_id) is not true then
    perform private.fail(422, 'seat_of_other_client', 'That seat is not this client''s.');
  end if;
  if v_seat.billing_status <> 'unbilled' then
    perform private.fail(409, 'seat_already_billed', 'That seat is already billed or settled.');
  end if;
  if private.seat_given_up(v_seat) then
    perform private.fail(409, 'seat_given_up', 'That seat was given up or missed, so its price is not owed.', 'Bill its fee, if one is owed: outcome_id.');
  end if;
  select * into v_session from public.sessions s where s.id = v_seat.session_id;
  attendee_id := v_seat.id;
  session_id := v_seat.session_id;
  price_cents := coalesce(v_seat.price_cents, v_session.price_cents);
  currency := coalesce(v_seat.currency, v_session.currency);
  description := left(v_session.title, 480) || ', ' || to_char(v_session.scheduled_at at time zone
    (select p.timezone from public.practices p where p.id = p_invoice.practice_id), 'YYYY-MM-DD');
end $$;
comment on function private.seat_to_bill(public.invoices, uuid, uuid) is
  'security definer: finds and locks the seat of a client at a session of the issuing practice, and refuses one that is billed or was given up.';
revoke execute on function private.seat_to_bill(public.invoices, uuid, uuid) from public, anon, authenticated, service_role;

create or replace function private.check_kind(p_practice public.practices, p_kind text) returns void
  language plpgsql stable set search_path = '' as $$
begin
  if p_kind not in ('invoice', 'tax_invoice') then
    perform private.fail(422, 'kind_not_drafted', 'Drafts become invoices or tax invoices; receipts and credit notes come of payments and invoices.');
  elsif p_kind = 'tax_invoice' and p_practice.tax_scheme <> 'registered' then
    perform private.fail(422, 'kind_not_allowed', 'Only a practice that is registered for tax issues tax invoices.');
  end if;
end $$;
comment on function private.check_kind(public.practices, text) is 'Refuses kinds of documents that a practice may not draft.';
revoke execute on function private.check_kind(public.practices, text) from public, anon, authenticated, service_role;

create or replace function public.draft_invoice(p_client_id uuid default null, p_coach_client_id uuid default null,
  p_lines jsonb default '[]', p_due_date timestamptz default null, p_currency text default null,
  p_tax_rate_bp integer default null, p_notes text default null, p_document_kind text default null,
  p_tax_inclusive boolean default null, p_discount_cents integer default 0) returns uuid
  language plpgsql security definer set search_path = '' as $$
declare
  v_me constant uuid := private.me();
  v_client public.coach_clients;
  v_practice public.practices;
  v_invoice public.invoices;
  v_line jsonb;
begin
  select p.* into v_practice from public.practices p join public.practice_members m on m.practice_id = p.id where m.user_id = v_me;
  if not found then perform private.fail(404, 'not_found', 'There is no such thing here.'); end if;
  if num_nonnulls(p_client_id, p_coach_client_id) <> 1 then
    perform private.fail(422, 'one_client', 'An invoice is for one client.', 'Give either client_id or coach_client_id.');
  end if;
  select * into v_client from public.coach_clients c
    where c.coach_id = v_me and (c.id = p_coach_client_id or c.client_id = p_client_id);
  if not found then perform private.fail(404, 'not_found', 'There is no such thing here.'); end if;
  if jsonb_typeof(p_lines) <> 'array' then perform private.fail(422, 'invalid_line', 'Lines are a list.'); end if;
  perform private.check_kind(v_practice, coalesce(p_document_kind, 'invoice'));
  perform private.check_rate(v_practice, p_tax_rate_bp, (now() at time zone v_practice.timezone)::date);
  v_invoice := private.new_draft(v_practice, v_me, v_client, coalesce(p_currency, private.currency_of_lines(p_lines), v_practice.currency),
    p_due_date, p_tax_rate_bp, p_notes, p_document_kind, p_tax_inclusive);
  for v_line in select value from jsonb_array_elements(p_lines) loop
    perform private.put_line(v_invoice, v_line);
  end loop;
  -- Only now, since it is off what the lines make.
  update public.invoices set discount_cents = coalesce(p_discount_cents, 0) where id = v_invoice.id and p_discount_cents <> 0;
  return v_invoice.id;
end $$;
comment on function public.draft_invoice(uuid, uuid, jsonb, timestamptz, text, integer, text, text, boolean, integer) is
  'security definer: a coach makes a draft for a client of hers, signed up or not, with lines: {attendee_id | session_id} for a seat, or {description, quantity, amount_cents, discount_cents}, and a discount off all of them. Returns its id.';
revoke execute on function public.draft_invoice(uuid, uuid, jsonb, timestamptz, text, integer, text, text, boolean, integer) from public, anon, authenticated, service_role;
grant execute on function public.draft_invoice(uuid, uuid, jsonb, timestamptz, text, integer, text, text, boolean, integer) to authenticated;

create or replace function private.buyer_of(p_client public.coach_clients, out name text, out email text)
  language sql stable security definer set search_path = '' as $$
  select coalesce(nullif(btrim(concat_ws(' ', u.first_name, u.last_name)), ''), p_client.display_name, p_client.email, u.email),
         coalesce(u.email, p_client.email)
  from (select 1) one left join public.users u on u.id = p_client.client_id
$$;
comment on function private.buyer_of(public.coach_clients) is 'security definer: name and address of a client as an invoice shows them.';
revoke execute on function private.buyer_of(public.coach_clients) from public, anon, authenticated, service_role;

create or replace function private.new_draft(p_practice public.practices, p_coach_id uuid, p_client public.coach_clients, p_currency text,
  p_due_date timestamptz default null, p_tax_rate_bp integer default null, p_notes text default null, p_document_kind text default null,
  p_tax_inclusive boolean default null) returns public.invoices
  language sql security definer set search_path = '' as $$
  insert into public.invoices (practice_id, coach_id, coach_client_id, user_id, total_amount_cents, due_date, currency, tax_rate_bp,
    notes, buyer_name, buyer_email, document_kind, tax_inclusive)
  select p_practice.id, p_coach_id, p_client.id, p_client.client_id, 0, p_due_date, p_currency,
    coalesce(p_tax_rate_bp, private.rate_of(p_practice, (now() at time zone p_practice.timezone)::date)),
    p_notes, b.name, b.email, coalesce(p_document_kind, 'invoice'), coalesce(p_tax_inclusive, p_practice.prices_include_tax)
  from private.buyer_of(p_client) b
  returning *
$$;
comment on function private.new_draft(public.practices, uuid, public.coach_clients, text, timestamptz, integer, text, text, boolean) is
  'security definer: writes an empty draft for functions that know who may. What is not said is as the practice has it.';
revoke execute on function private.new_draft(public.practices, uuid, public.coach_clients, text, timestamptz, integer, text, text, boolean)
  from public, anon, authenticated, service_role;

create or replace function private.invoice_seat(p_attendee_id uuid) returns uuid
  language plpgsql security definer set search_path = '' as $$
declare
  v_seat public.session_attendees;
  v_practice public.practices;
  v_client public.coach_clients;
  v_invoice public.invoices;
begin
  select * into v_seat from public.session_attendees a where a.id = p_attendee_id;
  select p.* into v_practice from public.practices p join public.practice_members m on m.practice_id = p.id where m.user_id = v_seat.coach_id;
  select * into v_client from public.coach_clients c where c.id = v_seat.coach_client_id;
  v_invoice := private.new_draft(v_practice, v_seat.coach_id, v_client, v_seat.currency);
  perform private.put_line(v_invoice, jsonb_build_object('attendee_id', p_attendee_id));
  perform public.finalize_invoice(v_invoice.id);
  return v_invoice.id;
end $$;
comment on function private.invoice_seat(uuid) is
  'security definer: for payments that know their seat. Issues an invoice over one seat, and returns it; refuses one that is billed or has no price.';
revoke execute on function private.invoice_seat(uuid) from public, anon, authenticated, service_role;

create or replace function private.currency_of_lines(p_lines jsonb) returns text
  language sql stable security definer set search_path = '' as $$
  -- Of the first seat among the lines. An id that is none of the caller's is refused when the line is put.
  select s.currency
  from (select x.place, case when x.line ->> 'attendee_id' ~* '^[0-9a-f-]{36}$' then (x.line ->> 'attendee_id')::uuid end as attendee_id,
               case when x.line ->> 'session_id' ~* '^[0-9a-f-]{36}$' then (x.line ->> 'session_id')::uuid end as session_id
        from jsonb_array_elements(p_lines) with ordinality x (line, place)) l
  left join public.session_attendees a on a.id = l.attendee_id
  join public.sessions s on s.id = coalesce(a.session_id, l.session_id)
  order by l.place limit 1
$$;
comment on function private.currency_of_lines(jsonb) is 'security definer: the currency that a new invoice takes from its seats.';
revoke execute on function private.currency_of_lines(jsonb) from public, anon, authenticated, service_role;
