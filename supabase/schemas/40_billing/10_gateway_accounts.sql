-- Where a practice receives card money: an account at a gateway. Its secrets lie apart, in private.gateway_secrets.
create table if not exists public.gateway_accounts (
  id uuid primary key default gen_random_uuid(),
  practice_id uuid not null references public.practices (id) on delete restrict,
  provider text not null,
  display_name text not null,
  external_id text,
  public_key text,
  is_live boolean not null default false,
  is_default boolean not null default false,
  webhook_token_hash text not null,
  disabled_at timestamptz,
  created_by uuid references public.users (id) on delete set null,
  metadata jsonb not null default '{}'::jsonb,
  created_at timestamptz not null default now(),
  updated_at timestamptz not null default now(),
  constraint gateway_accounts_provider_known check (provider in ('sandbox', 'stripe', 'tranzila')),
  constraint gateway_accounts_display_name_length check (char_length(display_name) between 1 and 120),
  constraint gateway_accounts_metadata_object check (jsonb_typeof(metadata) = 'object')
);
comment on table public.gateway_accounts is
  'Accounts of a practice at payment gateways. The address of a webhook carries the account, so no money reaches another practice.';
comment on column public.gateway_accounts.external_id is 'What the gateway calls this account: its id, or the terminal.';
comment on column public.gateway_accounts.webhook_token_hash is
  'SHA-256 in hex of the token in the webhook address; the address itself is told once, when the account is made.';
comment on column public.gateway_accounts.disabled_at is 'Set: takes no new payments. Webhooks and refunds of old ones still work.';

create unique index if not exists gateway_accounts_webhook_token_key on public.gateway_accounts (webhook_token_hash);
create unique index if not exists gateway_accounts_one_default
  on public.gateway_accounts (practice_id) where is_default and disabled_at is null;
create index if not exists gateway_accounts_practice_idx on public.gateway_accounts (practice_id, created_at);
create index if not exists gateway_accounts_created_by_idx on public.gateway_accounts (created_by);

revoke all on public.gateway_accounts from public, anon, authenticated, service_role;
grant select, insert, update on public.gateway_accounts to service_role;
grant select (id, practice_id, provider, display_name, external_id, public_key, is_live, is_default, disabled_at, created_at, updated_at)
  on public.gateway_accounts to authenticated;

alter table public.gateway_accounts enable row level security;
drop policy if exists gateway_accounts_select_practice on public.gateway_accounts;
create policy gateway_accounts_select_practice on public.gateway_accounts for select to authenticated
  using (practice_id = any ((select private.my_practice_ids())::uuid[]));
comment on policy gateway_accounts_select_practice on public.gateway_accounts is 'The people of a practice see its accounts, without secrets.';
drop policy if exists gateway_accounts_select_admin on public.gateway_accounts;
create policy gateway_accounts_select_admin on public.gateway_accounts for select to authenticated
  using ((select private.i_am_admin()));
comment on policy gateway_accounts_select_admin on public.gateway_accounts is 'An admin sees every account, without secrets.';

drop trigger if exists gateway_accounts_touch on public.gateway_accounts;
create trigger gateway_accounts_touch before update on public.gateway_accounts
  for each row execute function private.touch_updated_at();
