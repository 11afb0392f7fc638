-- Documents that ask for money. A draft until finalized_at is set; from then on only money and endings move.
create table if not exists public.invoices (
  id uuid primary key default gen_random_uuid(),
  user_id uuid references public.users (id) on delete set null,
  status public.payment_status not null default 'pending',
  due_date timestamptz,
  total_amount_cents integer not null check (total_amount_cents >= 0),
  currency text not null default 'ILS',
  issued_at timestamptz not null default now(),
  paid_at timestamptz,
  metadata jsonb not null default '{}'::jsonb,
  created_at timestamptz not null default now(),
  updated_at timestamptz not null default now(),
  practice_id uuid not null references public.practices (id) on delete restrict,
  coach_id uuid references public.users (id) on delete set null,
  coach_client_id uuid references public.coach_clients (id) on delete restrict,
  document_kind text not null default 'invoice',
  number bigint,
  series_year integer,
  document_number text,
  finalized_at timestamptz,
  issued_elsewhere boolean not null default false,
  subtotal_cents bigint not null default 0,
  tax_rate_bp integer not null default 0,
  tax_cents bigint not null default 0,
  amount_paid_cents bigint not null default 0,
  amount_refunded_cents bigint not null default 0,
  buyer_name text,
  buyer_email text,
  seller_name text,
  notes text,
  voided_at timestamptz,
  voided_by uuid references public.users (id) on delete set null,
  written_off_at timestamptz,
  written_off_by uuid references public.users (id) on delete set null,
  tax_inclusive boolean not null default false,
  tax_on_payment boolean not null default false,
  tax_point_at timestamptz,
  allocation_number text,
  buyer_tax_id text,
  buyer_address text,
  seller_tax_id text,
  seller_address text,
  seller_country text,
  is_history boolean not null default false,
  credit_of_invoice_id uuid references public.invoices (id) on delete restrict,
  credited_cents bigint not null default 0,
  refund_covered_cents bigint not null default 0,
  credited_open_cents bigint not null default 0,
  payment_id uuid,
  discount_cents bigint not null default 0,
  constraint invoices_never_failed check (status <> 'failed'),
  constraint invoices_currency_known check (private.is_currency(currency)),
  constraint invoices_metadata_object check (jsonb_typeof(metadata) = 'object'),
  constraint invoices_document_kind_known
    check (document_kind in ('invoice', 'tax_invoice', 'receipt', 'tax_invoice_receipt', 'credit_note')),
  constraint invoices_number_whole check (num_nulls(number, series_year) in (0, 2) and number > 0),
  constraint invoices_final_has_number
    check (case when finalized_at is null then number is null and document_number is null
                else issued_elsewhere or (number is not null and document_number is not null) end),
  constraint invoices_draft_has_no_money
    check (finalized_at is not null or (status not in ('paid', 'refunded') and amount_paid_cents = 0 and paid_at is null)),
  constraint invoices_void_is_canceled check ((voided_at is not null) = (status = 'canceled')),
  constraint invoices_tax_rate_sane check (tax_rate_bp between 0 and 10000),
  constraint invoices_amounts_not_negative check (least(subtotal_cents, tax_cents, amount_paid_cents, amount_refunded_cents,
    refund_covered_cents, credited_open_cents, discount_cents) >= 0),
  constraint invoices_credited_within check (credited_cents between 0 and greatest(total_amount_cents, 0)),
  constraint invoices_kind_has_its_source check (finalized_at is null or is_history
    or ((document_kind = 'credit_note') = (credit_of_invoice_id is not null)
        and (document_kind in ('receipt', 'tax_invoice_receipt')) = (payment_id is not null))),
  constraint invoices_allocation_number_form check (allocation_number ~ '^[0-9]{9}$'),
  constraint invoices_text_lengths check (greatest(char_length(buyer_name), char_length(buyer_address), char_length(notes)) <= 4000
    and greatest(char_length(buyer_tax_id), char_length(document_number)) <= 60),
  constraint invoices_not_overpaid check (finalized_at is null or amount_paid_cents + amount_refunded_cents <= total_amount_cents)
);
-- Sessions stand before invoices, so their half of the tie comes here.
select private.ensure_constraints(
  'public.sessions',
  'sessions_invoice_id_fkey foreign key (invoice_id) references public.invoices (id) on delete set null');

comment on table public.invoices is
  'Documents of a practice: what asks for money (invoice, tax_invoice), takes it back (credit_note) or says that it came (receipt, tax_invoice_receipt). Draft while finalized_at is null; final ones never change but for payments and endings.';
comment on column public.invoices.user_id is 'Who pays. Null while the client has not signed up.';
comment on column public.invoices.status is 'pending = draft or open, paid, canceled = void, refunded = all of it went back. Never failed.';
comment on column public.invoices.practice_id is 'The issuer: the legal entity that asks for the money.';
comment on column public.invoices.issued_at is 'Means something once finalized_at is set; until then when the draft was made.';
comment on column public.invoices.issued_elsewhere is 'Imported from another system: may have no number of ours and no lines.';
comment on column public.invoices.amount_paid_cents is 'Sum of allocations, kept by trigger.';
comment on column public.invoices.amount_refunded_cents is 'What was paid and went back, kept by trigger. Not owed again; see private.invoice_balance.';
comment on column public.invoices.tax_inclusive is 'The lines have the tax in them; otherwise it comes on top.';
comment on column public.invoices.tax_on_payment is
  'The tax falls due when it is paid, by the document made then. Fixed when it is issued.';
comment on column public.invoices.tax_point_at is 'The moment whose rate holds.';
comment on column public.invoices.allocation_number is 'Of the tax authority, nine digits. May be filled once after issuing.';
comment on column public.invoices.buyer_tax_id is 'Set for a buyer who is registered for tax.';
comment on column public.invoices.is_history is 'Came in paid from another system: keeps its own truth and stands in no books here.';
comment on column public.invoices.credit_of_invoice_id is 'The document that this credit note takes back.';
comment on column public.invoices.credited_cents is 'What credit notes took back of it, kept by trigger.';
comment on column public.invoices.refund_covered_cents is
  'How much of its credit notes stands for money that went back; on a credit note, how much of itself.';
comment on column public.invoices.credited_open_cents is 'On a credit note: how much of it took back what was not paid yet.';
comment on column public.invoices.discount_cents is 'Off the sum of the lines, before tax is put on top or taken out; each line has one of its own beside it.';
comment on column public.invoices.payment_id is 'The payment that a receipt is for.';
comment on column public.invoices.number is 'Without holes per practice, kind and year (series_year, by the practice''s time zone).';

create unique index if not exists invoices_number_key on public.invoices (practice_id, document_kind, series_year, number);
create unique index if not exists invoices_document_number_key
  on public.invoices (practice_id, document_number) where not issued_elsewhere;
-- What another system numbered, too, is noted once; history that was brought along keeps its own truth.
create unique index if not exists invoices_number_elsewhere_key
  on public.invoices (practice_id, document_kind, document_number) where issued_elsewhere and not is_history;
create unique index if not exists invoices_one_receipt_per_payment on public.invoices (payment_id);
create index if not exists invoices_credit_of_idx on public.invoices (credit_of_invoice_id);
create index if not exists invoices_practice_idx on public.invoices (practice_id, created_at desc, id desc);
create index if not exists invoices_user_idx on public.invoices (user_id, created_at desc, id desc);
create index if not exists invoices_coach_idx on public.invoices (coach_id);
create index if not exists invoices_coach_client_idx on public.invoices (coach_client_id);
create index if not exists invoices_voided_by_idx on public.invoices (voided_by);
create index if not exists invoices_written_off_by_idx on public.invoices (written_off_by);

revoke all on public.invoices from public, anon, authenticated, service_role;
grant select, insert, update, delete on public.invoices to service_role;
grant select on public.invoices to authenticated;

alter table public.invoices enable row level security;
drop policy if exists invoices_select_payer on public.invoices;
create policy invoices_select_payer on public.invoices for select to authenticated
  using (user_id = (select private.me()) and finalized_at is not null);
comment on policy invoices_select_payer on public.invoices is 'A client sees what was issued to the client; drafts are the coach''s.';
drop policy if exists invoices_select_practice on public.invoices;
create policy invoices_select_practice on public.invoices for select to authenticated
  using (practice_id = any ((select private.my_practice_ids())::uuid[]));
comment on policy invoices_select_practice on public.invoices is 'The people of the issuing practice see its documents.';
drop policy if exists invoices_select_admin on public.invoices;
create policy invoices_select_admin on public.invoices for select to authenticated
  using ((select private.i_am_admin()));
comment on policy invoices_select_admin on public.invoices is 'An admin sees every document.';

create or replace function private.my_invoice_ids() returns uuid[]
  language sql stable security definer set search_path = '' as $$
  select coalesce(array_agg(i.id), '{}') from public.invoices i
  where i.user_id = (select private.me()) and i.finalized_at is not null
$$;
comment on function private.my_invoice_ids() is
  'security definer: policies of lines and allocations ask for the invoices issued to me without reading another guarded table.';
revoke execute on function private.my_invoice_ids() from public, anon, authenticated, service_role;
grant execute on function private.my_invoice_ids() to authenticated;

create or replace function private.invoice_balance(i public.invoices) returns bigint
  language sql immutable set search_path = '' as $$
  select case when i.finalized_at is null or i.status = 'canceled' or i.document_kind not in ('invoice', 'tax_invoice') then 0
              else i.total_amount_cents - i.amount_paid_cents - i.amount_refunded_cents - i.credited_cents + i.refund_covered_cents end
$$;
comment on function private.invoice_balance(public.invoices) is 'What is still to be paid on an invoice, in minor units.';
revoke execute on function private.invoice_balance(public.invoices) from public, anon, authenticated, service_role;
grant execute on function private.invoice_balance(public.invoices) to authenticated, service_role;

create or replace function private.invoice_display_status(i public.invoices) returns text
  language sql stable set search_path = '' as $$
  -- What the enum of the review cannot say, out of amounts and times.
  select case
    when i.document_kind not in ('invoice', 'tax_invoice') and i.finalized_at is not null then 'issued'
    when i.status = 'canceled' then case when i.credited_cents > 0 then 'credited' else 'void' end
    when i.finalized_at is null then 'draft'
    when i.status in ('paid', 'refunded') then i.status::text
    when i.written_off_at is not null then 'written_off'
    when i.due_date < now() then 'overdue'
    when i.amount_paid_cents > 0 then 'partially_paid'
    else 'open' end
$$;
comment on function private.invoice_display_status(public.invoices) is
  'The state of a document for people: draft, open, partially_paid, overdue, paid, refunded, credited, void or written_off; issued for receipts and credit notes.';
revoke execute on function private.invoice_display_status(public.invoices) from public, anon, authenticated, service_role;
grant execute on function private.invoice_display_status(public.invoices) to authenticated, service_role;

drop trigger if exists invoices_touch on public.invoices;
create trigger invoices_touch before update on public.invoices
  for each row execute function private.touch_updated_at();
