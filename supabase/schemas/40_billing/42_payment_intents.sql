-- The plan to collect an amount; may see several attempts, succeeds at most once.
create table if not exists public.payment_intents (
  id uuid primary key default gen_random_uuid(),
  user_id uuid references public.users (id) on delete set null,
  amount_cents integer not null check (amount_cents > 0),
  currency text not null default 'ILS',
  status public.payment_intent_status not null default 'requires_payment_method',
  payment_method_id uuid references public.payment_methods (id) on delete set null,
  client_secret text,
  metadata jsonb not null default '{}'::jsonb,
  created_at timestamptz not null default now(),
  updated_at timestamptz not null default now(),
  practice_id uuid references public.practices (id) on delete restrict,
  invoice_id uuid references public.invoices (id) on delete restrict,
  gateway_account_id uuid references public.gateway_accounts (id) on delete restrict,
  provider text,
  provider_intent_id text,
  idempotency_key text,
  requested_by uuid references public.users (id) on delete set null,
  next_action jsonb,
  provider_status text,
  last_error_code text,
  last_error_message text,
  outcome_unknown_since timestamptz,
  next_check_at timestamptz,
  check_attempts integer not null default 0,
  succeeded_at timestamptz,
  canceled_at timestamptz,
  channel text not null default 'direct',
  capture_method text not null default 'automatic',
  amount_capturable_cents integer not null default 0,
  provider_checkout_id text,
  page_url text,
  page_expires_at timestamptz,
  last_charge_id text,
  off_session boolean not null default false,
  capture_requested_at timestamptz,
  capture_amount_cents integer,
  cancel_requested_at timestamptz,
  booking_request_id uuid references public.booking_requests (id) on delete restrict,
  page_wish jsonb,
  constraint payment_intents_channel_known check (channel in ('direct', 'hosted')),
  constraint payment_intents_capture_known check (capture_method in ('automatic', 'manual')),
  constraint payment_intents_currency_known check (private.is_currency(currency)),
  constraint payment_intents_metadata_object check (jsonb_typeof(metadata) = 'object'),
  constraint payment_intents_secret_dies check (client_secret is null or status not in ('succeeded', 'canceled')),
  constraint payment_intents_unknown_is_checked
    check (outcome_unknown_since is null or (status = 'processing' and next_check_at is not null))
);
comment on table public.payment_intents is
  'Plans to collect the balance of an invoice, or the price of a time that is held, through a gateway. At most one is open for each.';
comment on column public.payment_intents.booking_request_id is
  'The hold that is paid for. Once paid, invoice_id names the invoice of the seat; there is none where the time was lost.';
comment on column public.payment_intents.client_secret is
  'Lets its holder pay. No API role can read the column; payment_intent_secret() tells the payer only. Emptied at the end.';
comment on column public.payment_intents.status is
  'requires_confirmation covers the gateway''s requires_action (next_action is then set), processing its requires_capture and any unknown outcome.';
comment on column public.payment_intents.provider_status is 'What the gateway itself calls the state; null while an attempt is on its way and it has said nothing.';
comment on column public.payment_intents.channel is 'direct = charged by a call of ours; hosted = paid by a person on a page of the gateway''s.';
comment on column public.payment_intents.amount_capturable_cents is 'Held at the card''s issuer and not ours yet: to be captured or let go.';
comment on column public.payment_intents.page_url is 'Lets its holder pay, so no API role can read it. Emptied at the end.';
comment on column public.payment_intents.page_wish is
  'What the gateway''s page is being asked for with, and under which key, until an answer is recorded. No API role can read it.';
comment on column public.payment_intents.capture_requested_at is 'The coach wants what is held; asked of the gateway until it has answered.';
comment on column public.payment_intents.cancel_requested_at is 'What is held is to be let go; canceled only once the gateway says so.';
comment on column public.payment_intents.last_charge_id is 'The newest attempt that the gateway told of. Another one there is news; the same is not.';
comment on column public.payment_intents.outcome_unknown_since is 'A call was sent and its answer lost. Never retried blindly: looked up at next_check_at.';

create unique index if not exists payment_intents_one_open_per_invoice on public.payment_intents (invoice_id)
  where invoice_id is not null and status in ('requires_payment_method', 'requires_confirmation', 'processing');
create unique index if not exists payment_intents_one_open_per_hold on public.payment_intents (booking_request_id)
  where booking_request_id is not null and status in ('requires_payment_method', 'requires_confirmation', 'processing');
create index if not exists payment_intents_booking_request_idx on public.payment_intents (booking_request_id)
  where booking_request_id is not null;
create unique index if not exists payment_intents_provider_key on public.payment_intents (gateway_account_id, provider_intent_id);
create unique index if not exists payment_intents_idempotency_key on public.payment_intents (practice_id, idempotency_key);
create index if not exists payment_intents_user_idx on public.payment_intents (user_id, created_at desc);
create index if not exists payment_intents_invoice_idx on public.payment_intents (invoice_id);
create index if not exists payment_intents_payment_method_idx on public.payment_intents (payment_method_id);
create index if not exists payment_intents_requested_by_idx on public.payment_intents (requested_by);
create index if not exists payment_intents_due_idx on public.payment_intents (next_check_at) where next_check_at is not null;

revoke all on public.payment_intents from public, anon, authenticated, service_role;
grant select, insert, update on public.payment_intents to service_role;
grant select (id, user_id, amount_cents, currency, status, payment_method_id, created_at, updated_at, practice_id, invoice_id,
  gateway_account_id, provider, next_action, last_error_code, last_error_message, outcome_unknown_since, succeeded_at, canceled_at,
  channel, capture_method, amount_capturable_cents, page_expires_at, off_session, capture_requested_at, cancel_requested_at,
  booking_request_id)
  on public.payment_intents to authenticated;

alter table public.payment_intents enable row level security;
drop policy if exists payment_intents_select_payer on public.payment_intents;
create policy payment_intents_select_payer on public.payment_intents for select to authenticated
  using (user_id = (select private.me()));
comment on policy payment_intents_select_payer on public.payment_intents is 'A client sees the client''s own intents.';
drop policy if exists payment_intents_select_practice on public.payment_intents;
create policy payment_intents_select_practice on public.payment_intents for select to authenticated
  using (practice_id = any ((select private.my_practice_ids())::uuid[]));
comment on policy payment_intents_select_practice on public.payment_intents is 'The people of a practice see intents to pay it, never their secrets.';
drop policy if exists payment_intents_select_admin on public.payment_intents;
create policy payment_intents_select_admin on public.payment_intents for select to authenticated
  using ((select private.i_am_admin()));
comment on policy payment_intents_select_admin on public.payment_intents is 'An admin sees every intent, never its secret.';

create or replace function private.keep_payment_intent() returns trigger
  language plpgsql security definer set search_path = '' as $$
declare
  v_invoice public.invoices;
begin
  if tg_op = 'DELETE' then
    perform private.fail(409, 'money_is_kept', 'Payment intents are never deleted.', 'Cancel it instead.');
  end if;
  if new.invoice_id is not null and (tg_op = 'INSERT' or new.invoice_id is distinct from old.invoice_id) then
    select * into v_invoice from public.invoices i where i.id = new.invoice_id;
    new.practice_id := v_invoice.practice_id;
    new.user_id := coalesce(new.user_id, v_invoice.user_id);
    if new.currency <> v_invoice.currency then
      perform private.fail(422, 'currency_mismatch', format('The invoice is in %s, the intent in %s.', v_invoice.currency, new.currency));
    end if;
  end if;
  if tg_op = 'UPDATE' then
    if (new.amount_cents, new.currency) is distinct from (old.amount_cents, old.currency) and old.provider_intent_id is not null then
      perform private.fail(409, 'intent_fixed', 'The amount of an intent that the gateway knows never changes.', 'Begin another.');
    end if;
    if old.status <> new.status and (old.status = 'succeeded' or (old.status = 'canceled' and new.status <> 'succeeded')) then
      perform private.fail(409, 'illegal_transition', format('An intent does not go from %s to %s.', old.status, new.status));
    end if;
  end if;
  if new.status in ('succeeded', 'canceled') then
    new.client_secret := null;
    new.page_url := null;
    new.page_wish := null;
    new.next_action := null;
    new.amount_capturable_cents := 0;
    new.outcome_unknown_since := null;
    new.next_check_at := null;
    if new.status = 'succeeded' then new.succeeded_at := coalesce(new.succeeded_at, now());
    else new.canceled_at := coalesce(new.canceled_at, now()); end if;
  end if;
  return new;
end $$;
comment on function private.keep_payment_intent() is
  'security definer: fills practice and payer from the invoice, holds the currency, and refuses moves out of an end state.';
revoke execute on function private.keep_payment_intent() from public, anon, authenticated, service_role;
drop trigger if exists payment_intents_keep on public.payment_intents;
create trigger payment_intents_keep before insert or update or delete on public.payment_intents
  for each row execute function private.keep_payment_intent();
drop trigger if exists payment_intents_touch on public.payment_intents;
create trigger payment_intents_touch before update on public.payment_intents
  for each row execute function private.touch_updated_at();
