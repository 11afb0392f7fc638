-- How the books follow: for each document and payment the accounts are worked out as they should stand now, and the difference
-- to what the journal says is posted. So it does not matter in which order things were heard of, nor how often.

create or replace function private.post(p_practice_id uuid, p_currency text, p_subject text, p_subject_id uuid, p_entries jsonb,
  p_kind text, p_coach_client_id uuid default null, p_memo text default null, p_occurred_at timestamptz default null) returns uuid
  language plpgsql security definer set search_path = '' as $$
declare
  v_id constant uuid := gen_random_uuid();
begin
  if not exists (select from jsonb_each_text(p_entries) e where e.value::bigint <> 0) then return null; end if;
  -- One statement, so that the two are never seen without one another, however early constraints are checked.
  with t as (
    insert into public.journal_transactions (id, practice_id, currency, kind, subject, subject_id, coach_client_id, memo, actor_id, occurred_at)
    values (v_id, p_practice_id, p_currency, p_kind, p_subject, p_subject_id, p_coach_client_id, p_memo, private.me(),
      coalesce(p_occurred_at, now()))
  )
  insert into public.journal_entries (transaction_id, account, amount_cents, currency, practice_id)
  select v_id, e.key, e.value::bigint, p_currency, p_practice_id from jsonb_each_text(p_entries) e where e.value::bigint <> 0;
  return v_id;
end $$;
comment on function private.post(uuid, text, text, uuid, jsonb, text, uuid, text, timestamptz) is
  'security definer: the only writer of the journal. Posts {account: amount}, debits above zero; nothing when all are zero. Returns the transaction.';
revoke execute on function private.post(uuid, text, text, uuid, jsonb, text, uuid, text, timestamptz)
  from public, anon, authenticated, service_role;

create or replace function private.unposted(p_subject text, p_subject_id uuid, p_should jsonb) returns jsonb
  language sql stable security definer set search_path = '' as $$
  select coalesce(jsonb_object_agg(coalesce(s.account, b.account), coalesce(s.amount, 0) - coalesce(b.amount, 0))
    filter (where coalesce(s.amount, 0) <> coalesce(b.amount, 0)), '{}')
  from (select e.key as account, e.value::bigint as amount from jsonb_each_text(p_should) e) s
  full join (select e.account, sum(e.amount_cents) as amount from public.journal_transactions t
    join public.journal_entries e on e.transaction_id = t.id
    where t.subject = p_subject and t.subject_id = p_subject_id group by e.account) b on b.account = s.account
$$;
comment on function private.unposted(text, uuid, jsonb) is
  'security definer: what is missing in the journal for a subject to stand as it should, by account.';
revoke execute on function private.unposted(text, uuid, jsonb) from public, anon, authenticated, service_role;

create or replace function private.books_of_document(i public.invoices) returns jsonb
  language sql stable security definer set search_path = '' as $$
  select case
    when i.finalized_at is null or i.is_history then '{}'
    when i.document_kind in ('invoice', 'tax_invoice') then case when i.status = 'canceled' and i.credited_cents = 0 then '{}' else
      jsonb_build_object('receivable', i.total_amount_cents - w.amount, 'write_offs', w.amount - s.tax,
        'revenue', i.tax_cents - i.total_amount_cents, case when i.tax_on_payment then 'tax_deferred' else 'tax' end, s.tax - i.tax_cents) end
    when i.document_kind = 'credit_note' and o.payment_id is not null then
      -- A receipt taken back: its tax is not due after all.
      jsonb_build_object('tax', o.tax_cents, 'tax_deferred', -d.tax, 'revenue', d.tax - o.tax_cents)
    when i.document_kind = 'credit_note' then
      jsonb_build_object('receivable', i.refund_covered_cents - i.total_amount_cents, 'refunds', -i.refund_covered_cents,
        'revenue', i.total_amount_cents - i.tax_cents, 'tax_deferred', n.deferred, 'tax', i.tax_cents - n.deferred)
    else jsonb_build_object('tax', -i.tax_cents, 'tax_deferred', d.tax, 'revenue', i.tax_cents - d.tax) end
  from (select case when i.written_off_at is null then 0 else private.invoice_balance(i) end as amount) w
  -- Of what is written off, tax that would have been due when paid will not be; what was due at once stays due.
  cross join lateral (select case when i.tax_on_payment and w.amount > 0
    then i.tax_cents - round(i.tax_cents::numeric * (i.total_amount_cents - w.amount) / i.total_amount_cents)::bigint else 0 end as tax) s
  left join public.invoices o on o.id = i.credit_of_invoice_id
  cross join lateral (select coalesce(sum(l.settled_tax_cents), 0)::bigint as tax from public.invoice_line_items l
    where l.invoice_id = coalesce(o.id, i.id)) d
  -- Tax that is due when paid was not due yet on what was open.
  cross join lateral (select case when coalesce(o.tax_on_payment, false) and i.total_amount_cents > 0
    then round(i.tax_cents::numeric * i.credited_open_cents / i.total_amount_cents)::bigint else 0 end as deferred) n
$$;
comment on function private.books_of_document(public.invoices) is
  'security definer: what a document means for the books, by account, as it stands now.';
revoke execute on function private.books_of_document(public.invoices) from public, anon, authenticated, service_role;

create or replace function private.money_account(p public.payments) returns text
  language sql immutable set search_path = '' as $$
  select case when p.provider <> 'manual'
      then 'clearing:' || coalesce(nullif(left(regexp_replace(lower(p.provider), '[^a-z]', '', 'g'), 30), ''), 'unnamed')
    else case p.method_type when 'cash' then 'cash' when 'bank_transfer' then 'bank' when 'voucher' then 'vouchers' else 'other' end end
$$;
comment on function private.money_account(public.payments) is 'The account where the money of a payment lies.';
revoke execute on function private.money_account(public.payments) from public, anon, authenticated, service_role;

create or replace function private.books_of_payment(p public.payments) returns jsonb
  language sql stable security definer set search_path = '' as $$
  select case when p.practice_id is null or p.status not in ('paid', 'refunded') then '{}' else
    jsonb_build_object(private.money_account(p), p.amount_cents - p.refunded_cents, 'receivable', -(a.kept + a.back), 'refunds', a.back,
      'credits', a.kept - p.amount_cents + p.refunded_cents) end
  from (select coalesce(sum(x.amount_cents), 0)::bigint as kept, coalesce(sum(x.refunded_cents), 0)::bigint as back
    from public.payment_allocations x where x.payment_id = p.id) a
$$;
comment on function private.books_of_payment(public.payments) is
  'security definer: what a payment means for the books, by account, as it stands now.';
revoke execute on function private.books_of_payment(public.payments) from public, anon, authenticated, service_role;

create or replace function private.book_document() returns trigger
  language plpgsql security definer set search_path = '' as $$
declare
  v public.invoices;
  v_missing jsonb;
begin
  select * into v from public.invoices i where i.id = new.id;
  v_missing := private.unposted('document', v.id, private.books_of_document(v));
  perform private.post(v.practice_id, v.currency, 'document', v.id, v_missing,
    case when not exists (select from public.journal_transactions t where t.subject = 'document' and t.subject_id = v.id) then
        v.document_kind || '_issued'
      when v.status = 'canceled' and v.credited_cents = 0 then 'invoice_voided'
      when v_missing ? 'write_offs' then case when v.written_off_at is null then 'write_off_undone' else 'written_off' end
      else 'document_moved' end,
    v.coach_client_id, v.document_number);
  return null;
end $$;
comment on function private.book_document() is
  'security definer: constraint trigger, at commit: the journal says of a document what the document says.';
revoke execute on function private.book_document() from public, anon, authenticated, service_role;
drop trigger if exists invoices_book on public.invoices;
create constraint trigger invoices_book after insert or update on public.invoices deferrable initially deferred
  for each row when (new.finalized_at is not null and not new.is_history) execute function private.book_document();

create or replace function private.book_payment() returns trigger
  language plpgsql security definer set search_path = '' as $$
declare
  v public.payments;
  v_missing jsonb;
  v_money bigint;
begin
  select * into v from public.payments p where p.id = new.id;
  v_missing := private.unposted('payment', v.id, private.books_of_payment(v));
  v_money := coalesce((v_missing ->> private.money_account(v))::bigint, 0);
  perform private.post(v.practice_id, v.currency, 'payment', v.id, v_missing,
    case when v_money > 0 then case when exists (select from public.journal_transactions t where t.subject = 'payment' and t.subject_id = v.id)
        then 'refund_failed' else 'payment_received' end
      when v_money < 0 then 'refund_made' else 'payment_allocated' end,
    v.coach_client_id, coalesce(v.reference, v.description), case when v_money > 0 then v.paid_at end);
  return null;
end $$;
comment on function private.book_payment() is
  'security definer: constraint trigger, at commit: the journal says of a payment what payment, refunds and allocations say, whatever brought it.';
revoke execute on function private.book_payment() from public, anon, authenticated, service_role;
-- What was paid before there was a practice is history: it is booked when something is done with it here.
drop trigger if exists payments_book on public.payments;
create constraint trigger payments_book after insert or update of status, refunded_cents, allocated_cents on public.payments
  deferrable initially deferred
  for each row when (new.practice_id is not null and new.status in ('paid', 'refunded')) execute function private.book_payment();
