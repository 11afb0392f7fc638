-- Whether documents, movements, counters and books agree; and where they do not. Each check finds what must not exist.

create or replace function private.verify_documents(p_practice_ids uuid[])
  returns table (practice_id uuid, check_name text, subject text, subject_id text, expected text, found text)
  language plpgsql stable security definer set search_path = '' as $$
#variable_conflict use_column
begin
  -- plpgsql keeps the plan; SQL would make it anew at each call.
  return query
  select i.practice_id, 'total_of_lines', 'document', i.id::text, i.total_amount_cents::text, coalesce(s.gross, 0)::text
  from public.invoices i cross join lateral private.invoice_sums(i.id, i.tax_rate_bp, i.tax_inclusive) s
  where i.practice_id = any (p_practice_ids) and i.finalized_at is not null and not i.is_history
    and (i.subtotal_cents + i.tax_cents <> i.total_amount_cents or s.gross <> i.total_amount_cents
      or (i.document_kind in ('invoice', 'tax_invoice') and s.tax <> i.tax_cents))
  union all
  select i.practice_id, 'paid_by_allocations', 'document', i.id::text, (i.amount_paid_cents || ' and ' || i.amount_refunded_cents),
    (a.kept || ' and ' || a.back)
  from public.invoices i cross join lateral (select coalesce(sum(x.amount_cents), 0) as kept, coalesce(sum(x.refunded_cents), 0) as back
    from public.payment_allocations x where x.invoice_id = i.id) a
  where i.practice_id = any (p_practice_ids) and not i.is_history and (i.amount_paid_cents, i.amount_refunded_cents) <> (a.kept, a.back)
  union all
  select i.practice_id, 'credited_by_notes', 'document', i.id::text, (i.credited_cents || ' and ' || i.refund_covered_cents),
    (n.taken || ' and ' || n.covered)
  from public.invoices i cross join lateral (select coalesce(sum(x.total_amount_cents), 0) as taken, coalesce(sum(x.refund_covered_cents), 0) as covered
    from public.invoices x where x.credit_of_invoice_id = i.id and x.finalized_at is not null) n
  where i.practice_id = any (p_practice_ids) and i.document_kind <> 'credit_note' and (i.credited_cents, i.refund_covered_cents) <> (n.taken, n.covered)
  union all
  select s.practice_id, 'numbers_without_holes', 'series', concat_ws(' ', s.document_kind, s.year),
    (s.last_number - s.first_number + 1)::text, count(i.id)::text
  from public.invoice_series s left join public.invoices i on i.practice_id = s.practice_id and i.document_kind = s.document_kind
    and i.series_year = s.year and i.number between s.first_number and s.last_number
  where s.practice_id = any (p_practice_ids) group by s.practice_id, s.document_kind, s.year
  having count(distinct i.number) <> s.last_number - s.first_number + 1 or count(i.id) <> count(distinct i.number)
  union all
  select i.practice_id, 'state_of_seat', 'seat', a.id::text, w.wanted::text, a.billing_status::text
  from public.invoice_line_items l join public.invoices i on i.id = l.invoice_id join public.session_attendees a on a.id = l.attendee_id
  cross join lateral (select case when i.status = 'paid' then 'paid' when i.status = 'refunded' or i.written_off_at is not null then 'written_off'
    else 'awaiting_payment' end as wanted) w
  where i.practice_id = any (p_practice_ids) and i.finalized_at is not null and i.status <> 'canceled' and l.released_at is null
    and not i.is_history and a.billing_status::text <> w.wanted
  union all
  select w.practice_id, 'seat_written_off', 'seat', a.id::text, 'written_off', a.billing_status::text
  from public.seat_write_offs w join public.session_attendees a on a.id = w.attendee_id
  where w.practice_id = any (p_practice_ids) and w.undone_at is null and a.billing_status <> 'written_off';
end $$;
comment on function private.verify_documents(uuid[]) is
  'security definer: reads all of the practices given. Where documents do not agree with their lines, allocations, credit notes, series and seats.';
revoke execute on function private.verify_documents(uuid[]) from public, anon, authenticated, service_role;

create or replace function private.verify_movements(p_practice_ids uuid[])
  returns table (practice_id uuid, check_name text, subject text, subject_id text, expected text, found text)
  language plpgsql stable security definer set search_path = '' as $$
#variable_conflict use_column
begin
  -- plpgsql keeps the plan; SQL would make it anew at each call.
  return query
  select p.practice_id, 'counters_of_payment', 'payment', p.id::text, concat_ws(' ', p.allocated_cents, p.refunded_cents, p.refund_reserved_cents),
    concat_ws(' ', a.kept, r.back, r.reserved)
  from public.payments p
  cross join lateral (select coalesce(sum(x.amount_cents), 0) as kept from public.payment_allocations x where x.payment_id = p.id) a
  cross join lateral (select coalesce(sum(x.amount_cents) filter (where x.status = 'succeeded'), 0) as back,
    coalesce(sum(x.amount_cents) filter (where x.status <> 'failed'), 0) as reserved, count(*) as refunds
    from public.payment_refunds x where x.payment_id = p.id) r
  -- What came in as refunded has no refunds of its own.
  where p.practice_id = any (p_practice_ids) and (p.status <> 'refunded' or r.refunds > 0)
    and (p.allocated_cents, p.refunded_cents, p.refund_reserved_cents) <> (a.kept, r.back, r.reserved)
  union all
  select t.practice_id, 'journal_balanced', 'transaction', t.id::text, '0', coalesce(sum(e.amount_cents)::text, 'no entries')
  from public.journal_transactions t left join public.journal_entries e on e.transaction_id = t.id
  where t.practice_id = any (p_practice_ids) group by t.practice_id, t.id having coalesce(sum(e.amount_cents), 1) <> 0
  union all
  select i.practice_id, 'document_in_journal', 'document', i.id::text, private.books_of_document(i)::text, 'missing ' || u.missing::text
  from public.invoices i cross join lateral private.unposted('document', i.id, private.books_of_document(i)) u (missing)
  where i.practice_id = any (p_practice_ids) and i.finalized_at is not null and not i.is_history and u.missing <> '{}'
  union all
  select p.practice_id, 'payment_in_journal', 'payment', p.id::text, private.books_of_payment(p)::text, 'missing ' || u.missing::text
  from public.payments p join public.practices r on r.id = p.practice_id
  cross join lateral private.unposted('payment', p.id, private.books_of_payment(p)) u (missing)
  where p.practice_id = any (p_practice_ids) and u.missing <> '{}'
    -- What was paid before there was a practice is history until something is done with it.
    and (p.created_at >= r.created_at
      or exists (select from public.journal_transactions t where t.subject = 'payment' and t.subject_id = p.id))
  union all
  select coalesce(b.practice_id, j.practice_id), 'receivable_of_client', 'client', concat_ws(' ', coalesce(b.coach_client_id, j.coach_client_id),
    coalesce(b.currency, j.currency)), coalesce(b.open, 0)::text, coalesce(j.amount, 0)::text
  from (select i.practice_id, i.coach_client_id, i.currency, sum(private.invoice_balance(i)) as open from public.invoices i
      where i.practice_id = any (p_practice_ids) and not i.is_history and i.written_off_at is null group by 1, 2, 3) b
  full join (select t.practice_id, t.coach_client_id, t.currency, sum(e.amount_cents) as amount
      from public.journal_transactions t join public.journal_entries e on e.transaction_id = t.id and e.account = 'receivable'
      where t.practice_id = any (p_practice_ids) group by 1, 2, 3) j
    on concat_ws(' ', j.practice_id, j.currency, j.coach_client_id) = concat_ws(' ', b.practice_id, b.currency, b.coach_client_id)
  where coalesce(b.open, 0) <> coalesce(j.amount, 0)
  union all
  select coalesce(b.practice_id, j.practice_id), 'deferred_tax_of_client', 'client', concat_ws(' ', coalesce(b.coach_client_id, j.coach_client_id),
    coalesce(b.currency, j.currency)), coalesce(round(b.tax), 0)::text, coalesce(j.amount, 0)::text
  from (select x.practice_id, x.coach_client_id, x.currency, sum(x.tax) as tax, sum(x.roundings) as roundings from (
      -- The tax of invoices that are not taken back or given up on while they were open, less the tax of what receipts say was paid.
      select i.practice_id, i.coach_client_id, i.currency, 1 + 2 * n.notes as roundings, -i.tax_cents::numeric * (i.total_amount_cents - n.open
        - case when i.written_off_at is null then 0 else private.invoice_balance(i) end) / i.total_amount_cents as tax
      from public.invoices i cross join lateral (select count(*) as notes, coalesce(sum(x.credited_open_cents), 0) as open
        from public.invoices x where x.credit_of_invoice_id = i.id) n
      where i.practice_id = any (p_practice_ids) and i.tax_on_payment and i.tax_cents > 0 and (i.status <> 'canceled' or i.credited_cents > 0)
      union all
      select r.practice_id, r.coach_client_id, r.currency, 1, case when o.id is null then l.line_total_cents::numeric * r.tax_rate_bp / (10000 + r.tax_rate_bp)
        when o.tax_on_payment then l.line_total_cents::numeric * o.tax_cents / o.total_amount_cents else 0 end
      from public.invoices r join public.invoice_line_items l on l.invoice_id = r.id left join public.invoices o on o.id = l.settled_invoice_id
      where r.practice_id = any (p_practice_ids) and r.document_kind = 'tax_invoice_receipt' and r.credited_cents = 0) x group by 1, 2, 3) b
  full join (select t.practice_id, t.coach_client_id, t.currency, sum(e.amount_cents) as amount
      from public.journal_transactions t join public.journal_entries e on e.transaction_id = t.id and e.account = 'tax_deferred'
      where t.practice_id = any (p_practice_ids) group by 1, 2, 3) j
    on concat_ws(' ', j.practice_id, j.currency, j.coach_client_id) = concat_ws(' ', b.practice_id, b.currency, b.coach_client_id)
  -- Each part was rounded by itself.
  where abs(coalesce(b.tax, 0) - coalesce(j.amount, 0)) > coalesce(b.roundings, 0);
end $$;
comment on function private.verify_movements(uuid[]) is
  'security definer: reads all of the practices given. Where payments and documents do not agree with their counters and with the journal, and clients with what the books say they owe.';
revoke execute on function private.verify_movements(uuid[]) from public, anon, authenticated, service_role;

create or replace function private.verify_billing(p_practice_id uuid default null)
  returns table (practice_id uuid, check_name text, subject text, subject_id text, expected text, found text)
  language sql stable security definer set search_path = '' as $$
  with asked as (select coalesce(array_agg(p.id), '{}') as ids from public.practices p where p_practice_id is null or p.id = p_practice_id)
  select d.* from asked, private.verify_documents(asked.ids) d
  union all select m.* from asked, private.verify_movements(asked.ids) m
  union all select c.* from asked, private.verify_credits(asked.ids) c
$$;
comment on function private.verify_billing(uuid) is
  'security definer: reads every practice. Where books, documents and balances of one practice, or of all, do not agree; no row when they do.';
revoke execute on function private.verify_billing(uuid) from public, anon, authenticated, service_role;
grant execute on function private.verify_billing(uuid) to service_role;

create or replace function public.verify_books()
  returns table (practice_id uuid, check_name text, subject text, subject_id text, expected text, found text)
  language sql stable security definer set search_path = '' as $$
  select v.* from unnest(private.my_practice_ids()) p (id), private.verify_billing(p.id) v
$$;
comment on function public.verify_books() is
  'security definer: the checks sum up more than one policy shows at once. Where the books of the caller''s practice do not agree; no row when they do.';
revoke execute on function public.verify_books() from public, anon, authenticated, service_role;
grant execute on function public.verify_books() to authenticated;
