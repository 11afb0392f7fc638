create table if not exists private.credentials (
  user_id uuid primary key references public.users (id) on delete cascade,
  password_hash text,
  email_verified_at timestamptz,
  totp_secret text,
  totp_confirmed_at timestamptz,
  totp_last_counter bigint,
  failed_attempts integer not null default 0,
  locked_until timestamptz,
  recovery_codes text[] not null default '{}',
  created_at timestamptz not null default now(),
  updated_at timestamptz not null default now(),
  constraint credentials_failed_attempts_check check (failed_attempts >= 0),
  constraint credentials_totp_check check (totp_confirmed_at is null or totp_secret is not null)
);
comment on table private.credentials is
  'How a person signs in to Loom''s own issuer. Read by the service role only; empty where Supabase signs people in.';
comment on column private.credentials.totp_last_counter is 'The step of the last accepted one-time code: no code is accepted twice.';
comment on column private.credentials.recovery_codes is 'sha256 of codes not used yet, in hex.';

revoke all on private.credentials from public, anon, authenticated, service_role;
grant select, insert, update, delete on private.credentials to service_role;
alter table private.credentials enable row level security;

drop trigger if exists credentials_touch on private.credentials;
create trigger credentials_touch before update on private.credentials
for each row execute function private.touch_updated_at();

create table if not exists private.auth_sessions (
  id uuid primary key default gen_random_uuid(),
  user_id uuid not null references public.users (id) on delete cascade,
  refresh_token_hash text not null unique,
  previous_hash text,
  created_at timestamptz not null default now(),
  updated_at timestamptz not null default now(),
  expires_at timestamptz not null,
  revoked_at timestamptz,
  revoked_reason text,
  user_agent text
);
comment on table private.auth_sessions is
  'A sign-in that can be refreshed. Tokens are kept as sha256; a hash used a second time revokes the sign-in.';
create index if not exists auth_sessions_user_id_idx on private.auth_sessions (user_id);
create index if not exists auth_sessions_previous_hash_idx on private.auth_sessions (previous_hash) where previous_hash is not null;

revoke all on private.auth_sessions from public, anon, authenticated, service_role;
grant select, insert, update, delete on private.auth_sessions to service_role;
alter table private.auth_sessions enable row level security;

drop trigger if exists auth_sessions_touch on private.auth_sessions;
create trigger auth_sessions_touch before update on private.auth_sessions
for each row execute function private.touch_updated_at();

create table if not exists private.one_time_tokens (
  token_hash text primary key,
  user_id uuid not null references public.users (id) on delete cascade,
  purpose text not null,
  email text not null,
  expires_at timestamptz not null,
  used_at timestamptz,
  created_at timestamptz not null default now(),
  constraint one_time_tokens_purpose_check check (purpose ~ '^[a-z_]{3,40}$')
);
comment on table private.one_time_tokens is
  'A link mailed to somebody: verify an address, reset a password. Kept as sha256, used once, bound to the address it was mailed to.';
create index if not exists one_time_tokens_user_id_idx on private.one_time_tokens (user_id, purpose);

revoke all on private.one_time_tokens from public, anon, authenticated, service_role;
grant select, insert, update, delete on private.one_time_tokens to service_role;
alter table private.one_time_tokens enable row level security;
