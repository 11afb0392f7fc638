-- Paying by link. The token is what allows it, and it is redeemed in the statement that acts.

create or replace function private.begin_payment_by_link(p_token text) returns uuid
  language plpgsql security definer set search_path = '' as $$
begin
  return public.begin_payment_intent(private.redeem_document_link(p_token), null, 'hosted');
end $$;
comment on function private.begin_payment_by_link(text) is
  'security definer: document_links is granted to nobody. For the pay page: the intent to pay what is open on the document behind a token at the gateway''s own page.';
revoke execute on function private.begin_payment_by_link(text) from public, anon, authenticated, service_role;
grant execute on function private.begin_payment_by_link(text) to service_role;

create or replace function private.open_payments_by_link(p_token text) returns setof uuid
  language plpgsql stable security definer set search_path = '' as $$
begin
  return query select i.id from public.payment_intents i where i.invoice_id = private.redeem_document_link(p_token)
    and i.status in ('requires_payment_method', 'requires_confirmation', 'processing');
end $$;
comment on function private.open_payments_by_link(text) is
  'security definer: document_links is granted to nobody. For the pay page: what the gateway has to be asked about when somebody comes back from it.';
revoke execute on function private.open_payments_by_link(text) from public, anon, authenticated, service_role;
grant execute on function private.open_payments_by_link(text) to service_role;

create or replace function private.receipts_of(p_invoice_id uuid) returns setof public.invoices
  language sql stable security definer set search_path = '' as $$
  select r.* from public.invoices r
  where r.finalized_at is not null and r.payment_id in (select a.payment_id from public.payment_allocations a where a.invoice_id = p_invoice_id)
  order by r.finalized_at, r.id
$$;
comment on function private.receipts_of(uuid) is 'security definer: for functions that know who may see an invoice. The receipts of the payments that went to it.';
revoke execute on function private.receipts_of(uuid) from public, anon, authenticated, service_role;

create or replace function public.receipts_by_link(p_token text)
returns table (id uuid, kind text, number text, total_cents bigint, currency text, issued_at timestamptz)
  language plpgsql stable security definer set search_path = '' as $$
begin
  return query select r.id, r.document_kind, r.document_number, r.total_amount_cents::bigint, r.currency, r.issued_at
    from private.receipts_of(private.redeem_document_link(p_token)) r;
end $$;
comment on function public.receipts_by_link(text) is
  'security definer: whoever holds the token is not signed in. The receipts of what was paid on the document behind a link; looking makes none.';
revoke execute on function public.receipts_by_link(text) from public, anon, authenticated, service_role;
grant execute on function public.receipts_by_link(text) to anon, authenticated;

create or replace function public.issue_receipts_by_link(p_token text) returns integer
  language plpgsql security definer set search_path = '' as $$
declare
  v_payment uuid;
  v_count integer := 0;
begin
  -- Whoever paid gets a receipt, also where the law asks for none; one for each payment, however often this is asked.
  for v_payment in select * from private.receipts_due(private.redeem_document_link(p_token)) loop
    perform private.make_receipt(v_payment);
    v_count := v_count + 1;
  end loop;
  return v_count;
end $$;
comment on function public.issue_receipts_by_link(text) is
  'security definer: whoever holds the token is not signed in. Makes the receipts that are missing of what was paid on the document behind a link; returns how many.';
revoke execute on function public.issue_receipts_by_link(text) from public, anon, authenticated, service_role;
grant execute on function public.issue_receipts_by_link(text) to anon, authenticated;

create or replace function public.receipt_by_link(p_token text, p_receipt_id uuid, out content jsonb, out logo bytea)
  language plpgsql stable security definer set search_path = '' as $$
declare
  v_receipt public.invoices;
begin
  select * into v_receipt from private.receipts_of(private.redeem_document_link(p_token)) r where r.id = p_receipt_id;
  if not found then perform private.fail(404, 'not_found', 'There is no such thing here.'); end if;
  select d.content, d.logo into content, logo from private.document_of(v_receipt.id) d;
end $$;
comment on function public.receipt_by_link(text, uuid) is
  'security definer: whoever holds the token is not signed in. One receipt of what was paid on the document behind a link.';
revoke execute on function public.receipt_by_link(text, uuid) from public, anon, authenticated, service_role;
grant execute on function public.receipt_by_link(text, uuid) to anon, authenticated;
