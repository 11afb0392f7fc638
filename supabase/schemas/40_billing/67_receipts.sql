-- Documents that say that money came: a receipt, or, where tax falls due with the payment, a tax invoice and receipt in one.

create or replace function private.write_receipt_lines(p_receipt public.invoices, p_payment public.payments, p_rate_bp integer) returns bigint
  language plpgsql security definer set search_path = '' as $$
declare
  v_part record;
  v_rest bigint := p_payment.amount_cents;
  v_own_tax bigint;
  v_tax bigint := 0;
begin
  for v_part in
    select a.invoice_id, a.amount_cents + a.refunded_cents as amount, i.document_number, i.tax_cents, i.total_amount_cents as total, i.tax_rate_bp,
      i.tax_on_payment, e.amount as earlier
    from public.payment_allocations a join public.invoices i on i.id = a.invoice_id
    -- What is on the invoice now and has a receipt; money that left it took its tax along.
    cross join lateral (
      select coalesce(sum(b.amount_cents + b.refunded_cents), 0) as amount from public.payment_allocations b
      where b.invoice_id = i.id and b.payment_id <> a.payment_id
        and exists (select from public.invoices r where r.payment_id = b.payment_id)) e
    where a.payment_id = p_payment.id and a.amount_cents + a.refunded_cents > 0 order by i.finalized_at, i.id
  loop
    -- Each share of an invoice's tax is the difference of two, so that those of all its payments add up to it.
    v_own_tax := case when v_part.tax_on_payment then round(v_part.tax_cents::numeric * (v_part.earlier + v_part.amount) / v_part.total)
      - round(v_part.tax_cents::numeric * v_part.earlier / v_part.total) else 0 end;
    insert into public.invoice_line_items (invoice_id, description, amount_cents, settled_invoice_id, settled_tax_cents)
    values (p_receipt.id, coalesce(v_part.document_number, 'Payment'), v_part.amount, v_part.invoice_id, v_own_tax);
    -- The rate of the day of the payment holds; where it is another than that of the invoice, the net gives way.
    v_tax := v_tax + case when not v_part.tax_on_payment or v_part.tax_rate_bp = 0 then 0
      when v_part.tax_rate_bp = p_rate_bp then v_own_tax else private.tax_in(v_part.amount, p_rate_bp, true) end;
    v_rest := v_rest - v_part.amount;
  end loop;
  if v_rest > 0 then
    v_own_tax := case when p_receipt.document_kind = 'tax_invoice_receipt' then private.tax_in(v_rest, p_rate_bp, true) else 0 end;
    insert into public.invoice_line_items (invoice_id, description, amount_cents, settled_tax_cents)
    -- What was typed for the payment describes all of it; what an invoice left over is nobody's yet.
    values (p_receipt.id, coalesce(case when v_rest = p_payment.amount_cents then nullif(btrim(p_payment.description), '') end,
      (select case p.language when 'he' then 'על החשבון' else 'On account' end from public.practices p where p.id = p_payment.practice_id)),
      v_rest, v_own_tax);
    v_tax := v_tax + v_own_tax;
  end if;
  return v_tax;
end $$;
comment on function private.write_receipt_lines(public.invoices, public.payments, integer) is
  'security definer: one line for each invoice that a payment went to, one for what is on account. Returns the tax that falls due.';
revoke execute on function private.write_receipt_lines(public.invoices, public.payments, integer) from public, anon, authenticated, service_role;

create or replace function private.taxed_apart(i public.invoices, out taxed_elsewhere bigint, out untaxed bigint)
  language sql stable set search_path = '' as $$
  select coalesce(sum(l.line_total_cents) filter (where o.tax_rate_bp > 0 and not o.tax_on_payment), 0)::bigint,
    coalesce(sum(l.line_total_cents) filter (where o.tax_rate_bp = 0), 0)::bigint
  -- What takes a receipt back takes back all of it.
  from public.invoice_line_items l join public.invoices o on o.id = l.settled_invoice_id
  where l.invoice_id = coalesce(i.credit_of_invoice_id, i.id)
$$;
comment on function private.taxed_apart(public.invoices) is
  'What of a receipt its own tax is not of: parts for invoices that were taxed when they were issued, and for what is not taxed. Reads as its caller.';
revoke execute on function private.taxed_apart(public.invoices) from public, anon, authenticated, service_role;
grant execute on function private.taxed_apart(public.invoices) to authenticated, service_role;

create or replace function private.make_receipt(p_payment_id uuid) returns uuid
  language plpgsql security definer set search_path = '' as $$
declare
  v_payment constant public.payments := private.lock_money_of(p_payment_id);
  v_practice public.practices;
  v_receipt public.invoices;
  v_rate integer;
  v_tax bigint;
begin
  select * into v_receipt from public.invoices i where i.payment_id = p_payment_id;
  if found then return v_receipt.id; end if;
  if v_payment.status <> 'paid' or v_payment.practice_id is null then
    perform private.fail(409, 'payment_not_made', 'A receipt is for money that came in.');
  end if;
  select * into v_practice from public.practices p where p.id = v_payment.practice_id;
  if v_practice.documents_elsewhere then
    perform private.fail(409, 'documents_elsewhere', 'Another system issues the documents of this practice.', 'Make the receipt there.');
  end if;
  v_rate := private.rate_of(v_practice, (v_payment.paid_at at time zone v_practice.timezone)::date);
  insert into public.invoices (practice_id, coach_id, coach_client_id, user_id, total_amount_cents, currency, tax_rate_bp, tax_inclusive,
    document_kind, payment_id, buyer_name, buyer_email, buyer_tax_id, buyer_address, tax_point_at)
  select v_payment.practice_id, coalesce(i.coach_id, c.coach_id), v_payment.coach_client_id, v_payment.user_id, 0, v_payment.currency,
    case when g.taxed or k.left_over then v_rate else 0 end, true,
    case when g.due or k.left_over then 'tax_invoice_receipt' else 'receipt' end, p_payment_id,
    coalesce(i.buyer_name, b.name), coalesce(i.buyer_email, b.email), i.buyer_tax_id, i.buyer_address, v_payment.paid_at
  from (select coalesce(sum(a.amount_cents + a.refunded_cents), 0) as given, coalesce(bool_or(x.tax_on_payment), false) as due,
      coalesce(bool_or(x.tax_on_payment and x.tax_rate_bp > 0), false) as taxed
    from public.payment_allocations a join public.invoices x on x.id = a.invoice_id
    where a.payment_id = p_payment_id and a.amount_cents + a.refunded_cents > 0) g
  -- Of a registered practice, money that is for nothing yet is taxed when it comes.
  cross join lateral (select v_practice.tax_scheme = 'registered' and g.given < v_payment.amount_cents) k (left_over)
  left join public.invoices i on i.id = coalesce(v_payment.invoice_id, (select a.invoice_id from public.payment_allocations a
    where a.payment_id = p_payment_id order by a.created_at, a.id limit 1))
  left join public.coach_clients c on c.id = v_payment.coach_client_id
  left join lateral private.buyer_of(c) b on c.id is not null
  returning * into v_receipt;
  v_tax := private.write_receipt_lines(v_receipt, v_payment, v_rate);
  update public.invoices set total_amount_cents = v_payment.amount_cents, tax_cents = v_tax, subtotal_cents = v_payment.amount_cents - v_tax,
    status = 'pending' where id = v_receipt.id;
  perform private.issue_document(v_receipt);
  return v_receipt.id;
end $$;
comment on function private.make_receipt(uuid) is
  'security definer: the one receipt of a payment, made when there is none; a tax invoice and receipt where tax falls due with any part of it. Returns its id.';
revoke execute on function private.make_receipt(uuid) from public, anon, authenticated, service_role;

create or replace function public.issue_receipt(p_payment_id uuid) returns uuid
  language plpgsql security definer set search_path = '' as $$
begin
  perform from public.payments p where p.id = p_payment_id
    and (not private.acting_as_api() or p.practice_id = any ((select private.my_practice_ids())::uuid[]));
  if not found then perform private.fail(404, 'not_found', 'There is no such thing here.'); end if;
  return private.make_receipt(p_payment_id);
end $$;
comment on function public.issue_receipt(uuid) is
  'security definer: a coach makes the receipt of a payment that her practice received, or gets the one there is. Returns its id.';
revoke execute on function public.issue_receipt(uuid) from public, anon, authenticated, service_role;
grant execute on function public.issue_receipt(uuid) to authenticated, service_role;

create or replace function private.payment_makes_receipt() returns trigger
  language plpgsql security definer set search_path = '' as $$
begin
  -- Deferred: the invoices that it pays are known by then. An import, which nobody recorded and no gateway brought, makes none.
  if exists (select from public.payments p join public.practices r on r.id = p.practice_id
             where p.id = new.id and p.status = 'paid' and num_nonnulls(p.recorded_by, p.intent_id) > 0
               and r.tax_scheme <> 'own_rate' and not r.documents_elsewhere) then
    perform private.make_receipt(new.id);
  end if;
  return null;
end $$;
comment on function private.payment_makes_receipt() is
  'security definer: constraint trigger, at commit. Where the law asks for a document with each payment, it is there as soon as the payment is.';
revoke execute on function private.payment_makes_receipt() from public, anon, authenticated, service_role;
drop trigger if exists payments_receipt on public.payments;
create constraint trigger payments_receipt after insert or update of status on public.payments deferrable initially deferred
  for each row when (new.status = 'paid') execute function private.payment_makes_receipt();
