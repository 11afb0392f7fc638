-- What signs and opens: never in a table that an API role may read.
create table if not exists private.gateway_secrets (
  account_id uuid primary key references public.gateway_accounts (id) on delete cascade,
  api_key text,
  webhook_secret text,
  previous_webhook_secret text,
  webhook_token text,
  created_at timestamptz not null default now(),
  updated_at timestamptz not null default now(),
  constraint gateway_secrets_sealed check (
    coalesce(api_key, 'sealed:') like 'sealed:%' and coalesce(webhook_secret, 'sealed:') like 'sealed:%'
    and coalesce(previous_webhook_secret, 'sealed:') like 'sealed:%' and coalesce(webhook_token, 'sealed:') like 'sealed:%')
);
comment on table private.gateway_secrets is
  'API key and webhook secrets of a gateway account, sealed by the server with a key that the database does not have. No webhook secret: the webhook address answers 404, as if it were not there.';
comment on column private.gateway_secrets.webhook_token is 'What the address for notices ends with, where a page has to carry that address.';
comment on column private.gateway_secrets.previous_webhook_secret is 'Still accepted while a secret is being changed.';

revoke all on private.gateway_secrets from public, anon, authenticated, service_role;
grant select, insert, update, delete on private.gateway_secrets to service_role;
alter table private.gateway_secrets enable row level security;

drop trigger if exists gateway_secrets_touch on private.gateway_secrets;
create trigger gateway_secrets_touch before update on private.gateway_secrets
  for each row execute function private.touch_updated_at();
