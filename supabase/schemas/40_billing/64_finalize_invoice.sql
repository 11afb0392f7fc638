-- The moment a draft becomes a document: number, date, buyer and seats are fixed in one transaction.

create or replace function private.take_number(p_practice_id uuid, p_kind text, p_year integer) returns bigint
  language plpgsql security definer set search_path = '' as $$
declare
  v_number bigint;
begin
  insert into public.invoice_series (practice_id, document_kind, year) values (p_practice_id, p_kind, p_year) on conflict do nothing;
  -- The row lock is held until the end of the transaction: a rollback gives the number to the next one, so there are no holes.
  update public.invoice_series set last_number = last_number + 1
  where practice_id = p_practice_id and document_kind = p_kind and year = p_year
  returning last_number into v_number;
  return v_number;
end $$;
comment on function private.take_number(uuid, text, integer) is
  'security definer: the next number of a series, without holes. Only inside the transaction that uses it.';
revoke execute on function private.take_number(uuid, text, integer) from public, anon, authenticated, service_role;

create or replace function private.issue_document(p_invoice public.invoices, p_number_elsewhere text default null) returns text
  language plpgsql security definer set search_path = '' as $$
declare
  v_practice public.practices;
  v_year integer;
  v_number bigint;
  v_document text := nullif(btrim(p_number_elsewhere), '');
begin
  select * into v_practice from public.practices p where p.id = p_invoice.practice_id;
  if not v_practice.documents_elsewhere then
    if v_document is not null then
      perform private.fail(409, 'documents_here', 'The numbers of this practice are given by Loom.', 'Set documents_elsewhere if another system issues.');
    end if;
    v_year := extract(year from now() at time zone v_practice.timezone);
    v_number := private.take_number(p_invoice.practice_id, p_invoice.document_kind, v_year);
    v_document := format('%s-%s-%s', private.document_prefix(p_invoice.document_kind), v_year,
      lpad(v_number::text, greatest(4, length(v_number::text)), '0'));
  end if;
  update public.invoices set number = v_number, series_year = v_year, document_number = v_document,
    issued_elsewhere = v_practice.documents_elsewhere, finalized_at = now(), issued_at = now(),
    tax_point_at = coalesce(tax_point_at, now()),
    -- Whoever makes the document with the payment elsewhere brings no tax due here: it is booked at once.
    tax_on_payment = document_kind = 'invoice' and v_practice.tax_scheme = 'registered' and not v_practice.documents_elsewhere,
    seller_name = coalesce(v_practice.legal_name, v_practice.name), seller_tax_id = v_practice.tax_id,
    seller_address = v_practice.address, seller_country = v_practice.country,
    due_date = case when document_kind in ('invoice', 'tax_invoice')
      then coalesce(due_date, now() + make_interval(days => v_practice.invoice_due_days)) end,
    buyer_name = coalesce(buyer_name, b.name), buyer_email = coalesce(buyer_email, b.email)
  from (select 1) one left join lateral (select x.name, x.email from public.coach_clients c, private.buyer_of(c) x
    where c.id = p_invoice.coach_client_id) b on true
  where id = p_invoice.id;
  return v_document;
end $$;
comment on function private.issue_document(public.invoices, text) is
  'security definer: takes the number and fixes date, seller and buyer, for functions that have locked a draft. Where documents are made elsewhere, only notes their number.';
revoke execute on function private.issue_document(public.invoices, text) from public, anon, authenticated, service_role;

create or replace function public.finalize_invoice(p_invoice_id uuid, p_number_elsewhere text default null) returns text
  language plpgsql security definer set search_path = '' as $$
declare
  v_invoice public.invoices := private.lock_my_invoice(p_invoice_id, true);
  v_practice public.practices;
  v_document text;
begin
  if v_invoice.status = 'canceled' then perform private.fail(409, 'invoice_voided', 'A void invoice stays void.'); end if;
  if not exists (select from public.invoice_line_items l where l.invoice_id = p_invoice_id) then
    perform private.fail(422, 'invoice_without_lines', 'An invoice needs a line.');
  end if;
  if exists (select from public.invoice_line_items l join public.session_attendees a on a.id = l.attendee_id
             where l.invoice_id = p_invoice_id and a.billing_status <> 'unbilled') then
    perform private.fail(409, 'seat_already_billed', 'A seat on this draft was billed or settled otherwise.', 'Take its line off.');
  end if;
  if exists (select from public.invoice_line_items l join public.seat_outcomes o on o.id = l.outcome_id
             where l.invoice_id = p_invoice_id and coalesce(o.owed_cents, 0) = 0) then
    perform private.fail(409, 'fee_not_owed', 'A fee on this draft was waived or undone.', 'Take its line off.');
  end if;
  select * into v_practice from public.practices p where p.id = v_invoice.practice_id;
  perform private.check_kind(v_practice, v_invoice.document_kind);
  perform private.check_rate(v_practice, v_invoice.tax_rate_bp, (now() at time zone v_practice.timezone)::date);
  perform private.recompute_draft(p_invoice_id);
  v_document := private.issue_document(v_invoice, p_number_elsewhere);
  -- A total of 0 is paid as it stands.
  perform private.settle_invoice(p_invoice_id);
  return v_document;
end $$;
comment on function public.finalize_invoice(uuid, text) is
  'security definer: a coach issues a draft of her practice: it gets its number and never changes again. Returns the document number; where documents are made elsewhere, the one she gives.';
revoke execute on function public.finalize_invoice(uuid, text) from public, anon, authenticated, service_role;
grant execute on function public.finalize_invoice(uuid, text) to authenticated, service_role;

create or replace function private.drop_intent(p_intent_id uuid) returns void
  language plpgsql security definer set search_path = '' as $$
declare
  v_intent public.payment_intents;
begin
  select * into v_intent from public.payment_intents i where i.id = p_intent_id
    and i.status in ('requires_payment_method', 'requires_confirmation', 'processing') for no key update;
  if not found then return; end if;
  if v_intent.status = 'processing' then
    perform private.fail(409, 'payment_in_progress', 'A card payment is under way.', 'Wait for its outcome.');
  end if;
  update public.payments set status = 'canceled' where intent_id = v_intent.id and status = 'pending';
  update public.payment_intents set status = 'canceled' where id = v_intent.id;
  if v_intent.provider_intent_id is not null or v_intent.channel = 'hosted' then
    perform private.enqueue('billing.cancel_intent', jsonb_build_object('intent_id', v_intent.id));
  end if;
end $$;
comment on function private.drop_intent(uuid) is
  'security definer: cancels an open intent that nobody needs any more, here and (by job) at the gateway. Refuses while money may be moving.';
revoke execute on function private.drop_intent(uuid) from public, anon, authenticated, service_role;

create or replace function private.drop_open_intent(p_invoice_id uuid) returns void
  language sql security definer set search_path = '' as $$
  select private.drop_intent(i.id) from public.payment_intents i where i.invoice_id = p_invoice_id
    and i.status in ('requires_payment_method', 'requires_confirmation', 'processing')
$$;
comment on function private.drop_open_intent(uuid) is
  'security definer: cancels the open intent of an invoice that no longer needs it. Refuses while money may be moving.';
revoke execute on function private.drop_open_intent(uuid) from public, anon, authenticated, service_role;

create or replace function public.void_invoice(p_invoice_id uuid, p_reason text default null) returns void
  language plpgsql security definer set search_path = '' as $$
declare
  v_invoice constant public.invoices := private.lock_my_invoice(p_invoice_id, false);
begin
  if v_invoice.status = 'canceled' then return; end if;
  if v_invoice.document_kind <> 'invoice' or v_invoice.credited_cents > 0 then
    perform private.fail(409, 'credit_note_needed', 'This document is not voided.', 'Make a credit note for it.');
  end if;
  if v_invoice.amount_paid_cents + v_invoice.amount_refunded_cents > 0 then
    perform private.fail(409, 'invoice_paid', 'Money was paid on this invoice.', 'Refund the payment instead.');
  end if;
  perform private.drop_open_intent(p_invoice_id);
  update public.invoices set status = 'canceled', voided_at = now(), voided_by = private.me(), void_reason = p_reason, paid_at = null
  where id = p_invoice_id;
  update public.invoice_line_items set released_at = now() where invoice_id = p_invoice_id;
  perform private.sync_seats(p_invoice_id);
end $$;
comment on function public.void_invoice(uuid, text) is
  'security definer: a coach voids an issued, unpaid invoice of her practice; it keeps its number, its seats may be billed again. Repeating it changes nothing.';
revoke execute on function public.void_invoice(uuid, text) from public, anon, authenticated, service_role;
grant execute on function public.void_invoice(uuid, text) to authenticated, service_role;
