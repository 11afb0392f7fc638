-- A document as it is printed: what it says, and its logo. Built in one place for the caller, the mail and the link.

create or replace function private.document_of(p_invoice_id uuid, out content jsonb, out logo bytea)
  language sql stable security definer set search_path = '' as $$
  select f.face || jsonb_build_object(
      'id', i.id, 'practice_id', i.practice_id, 'kind', i.document_kind, 'number', i.document_number, 'currency', i.currency,
      'issued_at', case when i.finalized_at is not null then i.issued_at end, 'drafted_at', i.created_at, 'due_date', i.due_date,
      -- A document that a credit note took back stays as it was issued.
      'voided_at', case when i.credited_cents = 0 then i.voided_at end,
      'seller_name', coalesce(i.seller_name, p.legal_name, p.name),
      'tax_id', case when i.finalized_at is null then p.tax_id else i.seller_tax_id end,
      'address', case when i.finalized_at is null then p.address else i.seller_address end,
      'country', case when i.finalized_at is null then p.country else i.seller_country end,
      'buyer_name', i.buyer_name, 'buyer_email', i.buyer_email, 'buyer_tax_id', i.buyer_tax_id, 'buyer_address', i.buyer_address,
      'notes', i.notes, 'allocation_number', i.allocation_number, 'tax_inclusive', i.tax_inclusive, 'tax_on_payment', i.tax_on_payment,
      'discount_cents', i.discount_cents, 'subtotal_cents', i.subtotal_cents, 'tax_rate_bp', i.tax_rate_bp, 'tax_cents', i.tax_cents, 'total_cents', i.total_amount_cents,
      'taxed_elsewhere_cents', t.taxed_elsewhere, 'untaxed_cents', t.untaxed,
      'credit_of', (select o.document_number from public.invoices o where o.id = i.credit_of_invoice_id),
      'paid', (select jsonb_build_object('at', m.paid_at, 'method', m.method_type, 'reference', m.reference)
               from public.payments m where m.id = i.payment_id),
      'lines', coalesce((
        select jsonb_agg(jsonb_build_object('description', l.description, 'quantity', l.quantity, 'amount_cents', l.amount_cents,
          'discount_cents', l.discount_cents, 'total_cents', l.line_total_cents) order by l.position, l.id)
        from public.invoice_line_items l where l.invoice_id = i.id), '[]')),
    (select g.content from private.logos g where g.practice_id = i.practice_id and g.sha256 = f.face ->> 'logo_sha256')
  from public.invoices i
  join public.practices p on p.id = i.practice_id
  left join private.document_faces d on d.invoice_id = i.id
  cross join lateral (select coalesce(d.face, private.face_of(i.practice_id)) as face) f
  cross join lateral private.taxed_apart(i) t
  where i.id = p_invoice_id
$$;
comment on function private.document_of(uuid) is
  'security definer: faces and logos are granted to nobody. What a document says; of a draft, what it would say if it were issued now.';
revoke execute on function private.document_of(uuid) from public, anon, authenticated, service_role;

create or replace function private.printable_invoice(p_invoice_id uuid) returns uuid
  language plpgsql stable security definer set search_path = '' as $$
declare
  v_invoice public.invoices;
begin
  select * into v_invoice from public.invoices i where i.id = p_invoice_id
    and (not private.acting_as_api() or i.practice_id = any ((select private.my_practice_ids())::uuid[])
         or (i.user_id = private.me() and i.finalized_at is not null) or private.i_am_admin());
  if not found then perform private.fail(404, 'not_found', 'There is no such thing here.'); end if;
  if v_invoice.issued_elsewhere or v_invoice.is_history then
    perform private.fail(409, 'document_elsewhere', 'This document was issued elsewhere.', 'Ask whoever issued it for a copy.');
  end if;
  return v_invoice.id;
end $$;
comment on function private.printable_invoice(uuid) is
  'security definer: one answer for a stranger''s and an unknown id. The invoice, if the caller may see it and Loom issues it.';
revoke execute on function private.printable_invoice(uuid) from public, anon, authenticated, service_role;

create or replace function public.document(p_invoice_id uuid, out content jsonb, out logo bytea)
  language plpgsql stable security definer set search_path = '' as $$
begin
  select d.content, d.logo into content, logo from private.document_of(private.printable_invoice(p_invoice_id)) d;
end $$;
comment on function public.document(uuid) is
  'security definer: what a document says and its logo, for its payer, the people of its practice and admins. Drafts are the practice''s.';
revoke execute on function public.document(uuid) from public, anon, authenticated, service_role;
grant execute on function public.document(uuid) to authenticated, service_role;
