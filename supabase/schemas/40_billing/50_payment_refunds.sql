-- Money that goes back. What is under way reserves its amount, so that refunds together never exceed the payment.
create table if not exists public.payment_refunds (
  id uuid primary key default gen_random_uuid(),
  payment_id uuid not null references public.payments (id) on delete cascade,
  amount_cents integer not null check (amount_cents > 0),
  status public.refund_status not null default 'pending',
  reason text,
  provider_refund_id text,
  metadata jsonb not null default '{}'::jsonb,
  created_at timestamptz not null default now(),
  processed_at timestamptz,
  updated_at timestamptz not null default now(),
  practice_id uuid references public.practices (id) on delete restrict,
  currency text not null,
  idempotency_key text,
  requested_by uuid references public.users (id) on delete set null,
  failure_reason text,
  provider_status text,
  outcome_unknown_since timestamptz,
  next_check_at timestamptz,
  check_attempts integer not null default 0,
  constraint payment_refunds_metadata_object check (jsonb_typeof(metadata) = 'object'),
  constraint payment_refunds_reason_length check (char_length(reason) <= 500)
);
comment on table public.payment_refunds is 'Refunds of payments: pending = decided, not sent; processing = sent or unknown. May fail after it succeeded.';
comment on column public.payment_refunds.processed_at is 'When it came to succeeded or failed.';

create unique index if not exists payment_refunds_provider_key on public.payment_refunds (payment_id, provider_refund_id);
create unique index if not exists payment_refunds_idempotency_key on public.payment_refunds (payment_id, idempotency_key);
create index if not exists payment_refunds_payment_idx on public.payment_refunds (payment_id, created_at);
create index if not exists payment_refunds_practice_idx on public.payment_refunds (practice_id);
create index if not exists payment_refunds_requested_by_idx on public.payment_refunds (requested_by);
create index if not exists payment_refunds_due_idx on public.payment_refunds (next_check_at) where next_check_at is not null;

revoke all on public.payment_refunds from public, anon, authenticated, service_role;
grant select, insert, update on public.payment_refunds to service_role;
grant select (id, payment_id, amount_cents, status, reason, created_at, processed_at, updated_at, practice_id, currency, requested_by,
  failure_reason, outcome_unknown_since) on public.payment_refunds to authenticated;

alter table public.payment_refunds enable row level security;
drop policy if exists payment_refunds_select_payer on public.payment_refunds;
create policy payment_refunds_select_payer on public.payment_refunds for select to authenticated
  using (payment_id = any ((select private.my_payment_ids())::uuid[]));
comment on policy payment_refunds_select_payer on public.payment_refunds is 'A client sees what goes back to the client.';
drop policy if exists payment_refunds_select_practice on public.payment_refunds;
create policy payment_refunds_select_practice on public.payment_refunds for select to authenticated
  using (practice_id = any ((select private.my_practice_ids())::uuid[]));
comment on policy payment_refunds_select_practice on public.payment_refunds is 'The people of a practice see what it gives back.';
drop policy if exists payment_refunds_select_admin on public.payment_refunds;
create policy payment_refunds_select_admin on public.payment_refunds for select to authenticated
  using ((select private.i_am_admin()));
comment on policy payment_refunds_select_admin on public.payment_refunds is 'An admin sees every refund.';

drop trigger if exists payment_refunds_touch on public.payment_refunds;
create trigger payment_refunds_touch before update on public.payment_refunds
  for each row execute function private.touch_updated_at();
