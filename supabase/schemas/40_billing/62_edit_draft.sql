-- Changes of a draft, line by line.

create or replace function public.add_invoice_line(p_invoice_id uuid, p_line jsonb) returns uuid
  language plpgsql security definer set search_path = '' as $$
begin
  return private.put_line(private.lock_my_invoice(p_invoice_id, true), p_line);
end $$;
comment on function public.add_invoice_line(uuid, jsonb) is 'security definer: a coach adds a line to a draft of her practice. Returns its id.';

create or replace function public.remove_invoice_line(p_line_id uuid) returns void
  language plpgsql security definer set search_path = '' as $$
declare
  v_invoice_id uuid;
begin
  select l.invoice_id into v_invoice_id from public.invoice_line_items l where l.id = p_line_id;
  perform private.lock_my_invoice(v_invoice_id, true);
  delete from public.invoice_line_items where id = p_line_id;
end $$;
comment on function public.remove_invoice_line(uuid) is 'security definer: a coach takes a line off a draft of her practice.';

create or replace function public.edit_draft_invoice(p_invoice_id uuid, p_changes jsonb) returns void
  language plpgsql security definer set search_path = '' as $$
declare
  v_invoice constant public.invoices := private.lock_my_invoice(p_invoice_id, true);
  v_new record;
  v_practice public.practices;
begin
  -- Only what is named changes; a name with null empties it.
  select * into v_new from jsonb_populate_record(v_invoice, p_changes);
  -- Only what is given now: what a client's record says already stands until somebody changes it.
  if p_changes ? 'buyer_email' and v_new.buyer_email !~ '^[^@[:space:][:cntrl:]<>]+@[^@[:space:][:cntrl:]<>]+\.[^@[:space:][:cntrl:]<>]+$' then
    perform private.fail(422, 'email_invalid', 'That is not an e-mail address.');
  end if;
  select * into v_practice from public.practices p where p.id = v_invoice.practice_id;
  perform private.check_kind(v_practice, v_new.document_kind);
  perform private.check_rate(v_practice, v_new.tax_rate_bp, (now() at time zone v_practice.timezone)::date);
  update public.invoices set due_date = v_new.due_date, notes = v_new.notes, tax_rate_bp = v_new.tax_rate_bp,
    tax_inclusive = v_new.tax_inclusive, document_kind = v_new.document_kind,
    buyer_name = v_new.buyer_name, buyer_email = v_new.buyer_email, buyer_tax_id = v_new.buyer_tax_id,
    buyer_address = v_new.buyer_address, discount_cents = v_new.discount_cents
  where id = p_invoice_id;
end $$;
comment on function public.edit_draft_invoice(uuid, jsonb) is
  'security definer: a coach changes due_date, notes, document_kind, tax_rate_bp, tax_inclusive, discount_cents or the buyer (name, email, tax_id, address) of a draft; other names are ignored.';

create or replace function public.delete_draft_invoice(p_invoice_id uuid) returns void
  language plpgsql security definer set search_path = '' as $$
begin
  perform private.lock_my_invoice(p_invoice_id, true);
  delete from public.invoices where id = p_invoice_id;
end $$;
comment on function public.delete_draft_invoice(uuid) is 'security definer: a coach throws a draft away; its seats are free again. It never had a number.';

revoke execute on function public.add_invoice_line(uuid, jsonb), public.remove_invoice_line(uuid),
  public.edit_draft_invoice(uuid, jsonb), public.delete_draft_invoice(uuid) from public, anon, authenticated, service_role;
grant execute on function public.add_invoice_line(uuid, jsonb), public.remove_invoice_line(uuid),
  public.edit_draft_invoice(uuid, jsonb), public.delete_draft_invoice(uuid) to authenticated, service_role;
