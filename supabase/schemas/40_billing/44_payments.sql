-- Money that came in, or an attempt at it. The first thirteen columns are those of the existing database, in its order.
create table if not exists public.payments (
  id uuid primary key default gen_random_uuid(),
  user_id uuid references public.users (id) on delete set null,
  amount_cents integer not null check (amount_cents > 0),
  currency text not null default 'ILS',
  description text,
  status public.payment_status not null default 'pending',
  provider text not null default 'tranzila',
  provider_transaction_id text,
  idempotency_key text,
  metadata jsonb not null default '{}'::jsonb,
  raw_payload jsonb,
  created_at timestamptz not null default now(),
  updated_at timestamptz not null default now(),
  session_id uuid,
  invoice_id uuid,
  intent_id uuid,
  method_id uuid,
  practice_id uuid,
  gateway_account_id uuid,
  method_type public.payment_method_type,
  reference text,
  recorded_by uuid references public.users (id) on delete set null,
  refunded_cents integer not null default 0,
  refund_reserved_cents integer not null default 0,
  allocated_cents integer not null default 0,
  paid_at timestamptz,
  failure_code text,
  failure_message text,
  provider_status text,
  coach_client_id uuid
);

do $$
declare
  unknown text;
begin
  if exists (
    select from pg_catalog.pg_constraint where conname = 'payments_currency_known' and conrelid = 'public.payments'::regclass
  ) then
    return;
  end if;
  select string_agg(format('%L (%s)', c.currency, c.times), ', ' order by c.currency) into unknown
  from (select p.currency, count(*) as times from public.payments p where not private.is_currency(p.currency) group by 1) c;
  if unknown is not null then
    raise exception using message = format('Payments have currencies that do not exist, with their counts: %s.', unknown),
      hint = 'Nothing was changed. Correct them to ISO 4217 codes such as ILS, then run this again.';
  end if;
end
$$;
select private.ensure_constraints(
  'public.payments',
  'payments_session_id_fkey foreign key (session_id) references public.sessions (id) on delete set null',
  'payments_invoice_id_fkey foreign key (invoice_id) references public.invoices (id) on delete set null',
  'payments_intent_id_fkey foreign key (intent_id) references public.payment_intents (id) on delete set null',
  'payments_method_id_fkey foreign key (method_id) references public.payment_methods (id) on delete set null',
  'payments_practice_id_fkey foreign key (practice_id) references public.practices (id) on delete restrict',
  'payments_gateway_account_id_fkey foreign key (gateway_account_id) references public.gateway_accounts (id) on delete restrict',
  'payments_coach_client_id_fkey foreign key (coach_client_id) references public.coach_clients (id) on delete restrict',
  'payments_currency_known check (private.is_currency(currency))',
  'payments_metadata_object check (jsonb_typeof(metadata) = ''object'')',
  'payments_refunds_within check (refunded_cents >= 0 and refund_reserved_cents between refunded_cents and amount_cents)',
  'payments_allocated_within check (allocated_cents between 0 and amount_cents - refunded_cents)',
  'payments_refunded_is_all check ((status = ''refunded'') = (refunded_cents = amount_cents))',
  'payments_refunds_need_money check (refunded_cents = 0 or status in (''paid'', ''refunded''))',
  'payments_reference_length check (char_length(reference) between 1 and 200)');
-- Receipts point at payments, which stand after invoices.
select private.ensure_constraints(
  'public.invoices', 'invoices_payment_id_fkey foreign key (payment_id) references public.payments (id) on delete restrict');

comment on table public.payments is 'Movements of money in, one row per attempt. A payment that was partly refunded stays paid.';
comment on column public.payments.status is 'pending = attempt under way or unknown, paid, failed, canceled, refunded = all of it went back.';
comment on column public.payments.refunded_cents is 'Sum of succeeded refunds, kept by trigger.';
comment on column public.payments.refund_reserved_cents is
  'Sum of refunds under way or succeeded. A counter, and so a row that concurrent refunds must change, whatever their isolation level.';
comment on column public.payments.allocated_cents is 'Sum of what invoices have of it now; the rest is the client''s credit.';
comment on column public.payments.raw_payload is 'What the gateway sent. API roles cannot read it.';
comment on column public.payments.practice_id is 'Who received it. Null on payments from before practices whose receiver the data does not tell.';
comment on column public.payments.coach_client_id is
  'Whose money it is, also of a client without an account. Null on payments from before practices.';
comment on column public.payments.reference is 'For transfers, vouchers and the like: what names them in the world outside. Kept without invisible characters.';

-- Both were partial before; whole ones still allow many nulls, and an upsert can name them.
create unique index if not exists payments_idempotency_unique on public.payments (idempotency_key);
create unique index if not exists payments_provider_txn_unique on public.payments (provider, provider_transaction_id);
create index if not exists payments_status_idx on public.payments (status);
create index if not exists payments_user_idx on public.payments (user_id);
create index if not exists payments_session_idx on public.payments (session_id);
create index if not exists payments_invoice_idx on public.payments (invoice_id);
create index if not exists payments_intent_idx on public.payments (intent_id);
create index if not exists payments_method_idx on public.payments (method_id);
create index if not exists payments_practice_idx on public.payments (practice_id, created_at desc, id desc);
create index if not exists payments_gateway_account_idx on public.payments (gateway_account_id);
create index if not exists payments_coach_client_idx on public.payments (coach_client_id) where coach_client_id is not null;
-- The same voucher is taken once; one that was undone may come again.
create unique index if not exists payments_voucher_once on public.payments (practice_id, lower(reference))
  where method_type = 'voucher' and status = 'paid';
create index if not exists payments_recorded_by_idx on public.payments (recorded_by);

revoke all on public.payments from public, anon, authenticated, service_role;
grant select, insert, update on public.payments to service_role;
grant select (id, user_id, amount_cents, currency, description, status, provider, provider_transaction_id, created_at, updated_at,
  session_id, invoice_id, intent_id, method_id, practice_id, gateway_account_id, method_type, reference, recorded_by, refunded_cents,
  refund_reserved_cents, allocated_cents, paid_at, failure_code, failure_message, coach_client_id) on public.payments to authenticated;

alter table public.payments enable row level security;
drop policy if exists payments_select_payer on public.payments;
create policy payments_select_payer on public.payments for select to authenticated
  using (user_id = (select private.me()));
comment on policy payments_select_payer on public.payments is 'A client sees what the client paid.';
drop policy if exists payments_select_practice on public.payments;
create policy payments_select_practice on public.payments for select to authenticated
  using (practice_id = any ((select private.my_practice_ids())::uuid[]));
comment on policy payments_select_practice on public.payments is 'The people of a practice see what it received.';
drop policy if exists payments_select_admin on public.payments;
create policy payments_select_admin on public.payments for select to authenticated
  using ((select private.i_am_admin()));
comment on policy payments_select_admin on public.payments is 'An admin sees every payment.';

create or replace function private.my_payment_ids() returns uuid[]
  language sql stable security definer set search_path = '' as $$
  select coalesce(array_agg(p.id), '{}') from public.payments p where p.user_id = (select private.me())
$$;
comment on function private.my_payment_ids() is
  'security definer: policies of refunds and payment lines ask for my payments without reading another guarded table.';
revoke execute on function private.my_payment_ids() from public, anon, authenticated, service_role;
grant execute on function private.my_payment_ids() to authenticated;

drop trigger if exists payments_touch on public.payments;
create trigger payments_touch before update on public.payments
  for each row execute function private.touch_updated_at();
