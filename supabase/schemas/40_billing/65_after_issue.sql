-- What may still happen to a document that was issued: given up on, taken up again, numbered by others.

create or replace function public.write_off_invoice(p_invoice_id uuid, p_reason text) returns void
  language plpgsql security definer set search_path = '' as $$
declare
  v_invoice constant public.invoices := private.lock_my_invoice(p_invoice_id, false);
begin
  if v_invoice.status <> 'pending' or v_invoice.document_kind not in ('invoice', 'tax_invoice') then
    perform private.fail(409, 'invoice_not_open', 'Only an open invoice is written off.');
  end if;
  if v_invoice.written_off_at is not null then return; end if;
  if nullif(btrim(p_reason), '') is null then
    perform private.fail(422, 'reason_needed', 'Say why the invoice is written off.');
  end if;
  perform private.drop_open_intent(p_invoice_id);
  update public.invoices set written_off_at = now(), written_off_by = private.me() where id = p_invoice_id;
  perform private.note_reason(v_invoice, 'written_off', p_reason);
  perform private.sync_seats(p_invoice_id);
end $$;
comment on function public.write_off_invoice(uuid, text) is
  'security definer: a coach gives up on an open invoice of her practice. Money that comes later is still taken.';
revoke execute on function public.write_off_invoice(uuid, text) from public, anon, authenticated, service_role;
grant execute on function public.write_off_invoice(uuid, text) to authenticated, service_role;

create or replace function public.restore_invoice(p_invoice_id uuid) returns void
  language plpgsql security definer set search_path = '' as $$
declare
  v_invoice constant public.invoices := private.lock_my_invoice(p_invoice_id, false);
begin
  if v_invoice.written_off_at is null then return; end if;
  update public.invoices set written_off_at = null, written_off_by = null where id = p_invoice_id;
  perform private.sync_seats(p_invoice_id);
end $$;
comment on function public.restore_invoice(uuid) is
  'security definer: a coach takes a write-off back; the journal keeps both. Repeating it changes nothing.';
revoke execute on function public.restore_invoice(uuid) from public, anon, authenticated, service_role;
grant execute on function public.restore_invoice(uuid) to authenticated, service_role;

create or replace function public.note_document_numbers(p_invoice_id uuid, p_allocation_number text default null,
  p_document_number text default null) returns void
  language plpgsql security definer set search_path = '' as $$
declare
  v_invoice constant public.invoices := private.lock_my_invoice(p_invoice_id, false);
begin
  if p_allocation_number is not null and v_invoice.document_kind not in ('tax_invoice', 'tax_invoice_receipt') then
    perform private.fail(422, 'kind_not_allowed', 'Only tax documents have an allocation number.');
  end if;
  if p_document_number is not null and not v_invoice.issued_elsewhere then
    perform private.fail(409, 'documents_here', 'The number of this document was given by Loom.');
  end if;
  if coalesce(p_allocation_number <> v_invoice.allocation_number, false) or coalesce(p_document_number <> v_invoice.document_number, false) then
    perform private.fail(409, 'invoice_final', 'That number was noted already.');
  end if;
  update public.invoices set allocation_number = coalesce(p_allocation_number, allocation_number),
    document_number = coalesce(document_number, nullif(btrim(p_document_number), ''))
  where id = p_invoice_id;
end $$;
comment on function public.note_document_numbers(uuid, text, text) is
  'security definer: a coach notes, once, the tax authority''s allocation number, or the number that another system gave to the document.';
revoke execute on function public.note_document_numbers(uuid, text, text) from public, anon, authenticated, service_role;
grant execute on function public.note_document_numbers(uuid, text, text) to authenticated, service_role;
