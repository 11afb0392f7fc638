-- Foreign keys come with the tables that they point to.
alter table public.payments
  add column if not exists session_id uuid,
  add column if not exists invoice_id uuid,
  add column if not exists intent_id uuid,
  add column if not exists method_id uuid,
  add column if not exists practice_id uuid,
  add column if not exists gateway_account_id uuid,
  add column if not exists method_type public.payment_method_type,
  add column if not exists reference text,
  add column if not exists recorded_by uuid references public.users (id) on delete set null,
  add column if not exists refunded_cents integer not null default 0,
  add column if not exists refund_reserved_cents integer not null default 0,
  add column if not exists allocated_cents integer not null default 0,
  add column if not exists paid_at timestamptz,
  add column if not exists failure_code text,
  add column if not exists failure_message text,
  add column if not exists provider_status text,
  add column if not exists coach_client_id uuid;
