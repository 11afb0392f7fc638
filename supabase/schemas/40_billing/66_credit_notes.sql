-- Corrections of what was issued are documents of their own: a credit note takes back a part or all of another.

create or replace function private.make_credit_note(p_of public.invoices, p_amount bigint, p_tax bigint, p_reason text,
  p_covered bigint default 0, p_open bigint default 0) returns uuid
  language plpgsql security definer set search_path = '' as $$
declare
  v_note public.invoices;
begin
  insert into public.invoices (practice_id, coach_id, coach_client_id, user_id, total_amount_cents, currency, tax_rate_bp, tax_inclusive,
    document_kind, credit_of_invoice_id, buyer_name, buyer_email, buyer_tax_id, buyer_address, notes, tax_point_at,
    refund_covered_cents, credited_open_cents)
  values (p_of.practice_id, p_of.coach_id, p_of.coach_client_id, p_of.user_id, 0, p_of.currency, p_of.tax_rate_bp, true,
    -- The rate is that of the document it corrects, whatever the law says today.
    'credit_note', p_of.id, p_of.buyer_name, p_of.buyer_email, p_of.buyer_tax_id, p_of.buyer_address, p_reason, p_of.tax_point_at,
    p_covered, p_open)
  returning * into v_note;
  insert into public.invoice_line_items (invoice_id, description, amount_cents)
  values (v_note.id, left(concat_ws(': ', p_of.document_number, p_reason), 500), p_amount);
  update public.invoices set subtotal_cents = p_amount - p_tax, tax_cents = p_tax, total_amount_cents = p_amount where id = v_note.id;
  perform private.issue_document(v_note);
  return v_note.id;
end $$;
comment on function private.make_credit_note(public.invoices, bigint, bigint, text, bigint, bigint) is
  'security definer: writes and issues a credit note for functions that have locked the document it takes back.';
revoke execute on function private.make_credit_note(public.invoices, bigint, bigint, text, bigint, bigint) from public, anon, authenticated, service_role;

create or replace function public.credit_invoice(p_invoice_id uuid, p_amount_cents integer default null, p_reason text default null) returns uuid
  language plpgsql security definer set search_path = '' as $$
declare
  v_invoice public.invoices := private.lock_my_invoice(p_invoice_id, false);
  v_left constant bigint := v_invoice.total_amount_cents - v_invoice.credited_cents;
  v_amount constant bigint := coalesce(p_amount_cents, v_left);
  v_tax bigint;
  v_covered bigint;
  v_open bigint;
  v_note uuid;
begin
  if v_invoice.document_kind not in ('invoice', 'tax_invoice') or v_invoice.is_history or v_invoice.status = 'canceled' then
    perform private.fail(409, 'invoice_not_open', 'Only an invoice that stands can be taken back.');
  end if;
  if nullif(btrim(p_reason), '') is null then
    perform private.fail(422, 'reason_needed', 'Say why; it stands on the credit note.');
  end if;
  if v_amount <= 0 or v_amount > v_left then
    perform private.fail(case when v_amount <= 0 and v_left > 0 then 422 else 409 end, 'credit_exceeds_invoice',
      'A credit note takes back what is left of the invoice, at most.', format('%s of %s is left.', v_left, v_invoice.total_amount_cents));
  end if;
  perform private.drop_open_intent(p_invoice_id);
  -- Parts of a tax that was rounded once must make up the whole again, so each is the difference of two shares.
  v_tax := round(v_invoice.tax_cents::numeric * (v_invoice.credited_cents + v_amount) / v_invoice.total_amount_cents)
    - round(v_invoice.tax_cents::numeric * v_invoice.credited_cents / v_invoice.total_amount_cents);
  -- It stands for money that went back first, then for what is not paid yet; the rest becomes the client's credit.
  v_covered := least(v_amount, v_invoice.amount_refunded_cents - v_invoice.refund_covered_cents);
  v_open := least(v_amount - v_covered, private.invoice_balance(v_invoice));
  v_note := private.make_credit_note(v_invoice, v_amount, v_tax, p_reason, v_covered, v_open);
  update public.invoices set credited_cents = credited_cents + v_amount, refund_covered_cents = refund_covered_cents + v_covered
    where id = p_invoice_id;
  perform private.release_surplus(p_invoice_id);
  return v_note;
end $$;
comment on function public.credit_invoice(uuid, integer, text) is
  'security definer: a coach takes back a part of an issued invoice of her practice, or all that is left, by a credit note. Returns its id.';
revoke execute on function public.credit_invoice(uuid, integer, text) from public, anon, authenticated, service_role;
grant execute on function public.credit_invoice(uuid, integer, text) to authenticated, service_role;
