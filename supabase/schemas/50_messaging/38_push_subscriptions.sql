create table if not exists public.push_subscriptions (
  id uuid primary key default gen_random_uuid(),
  user_id uuid not null references public.users (id) on delete cascade,
  endpoint text not null,
  p256dh text not null,
  auth text not null,
  label text,
  last_sent_at timestamptz,
  retired_at timestamptz,
  retired_reason text,
  metadata jsonb not null default '{}',
  created_at timestamptz not null default now(),
  updated_at timestamptz not null default now(),
  -- http only towards the machine itself, which demos and tests use; whether that is allowed at all, a setting says.
  constraint push_subscriptions_endpoint_check check (
    char_length(endpoint) <= 2000 and endpoint ~ '^(https://[^[:space:]]+|http://(127\.0\.0\.1|\[::1\])(:[0-9]+)?/[^[:space:]]*)$'
  ),
  constraint push_subscriptions_keys_check check (
    p256dh ~ '^[A-Za-z0-9_-]{80,90}=?$' and auth ~ '^[A-Za-z0-9_-]{20,24}(==)?$'
  ),
  constraint push_subscriptions_label_check check (char_length(label) between 1 and 100),
  constraint push_subscriptions_retired_check check ((retired_at is null) = (retired_reason is null)),
  constraint push_subscriptions_metadata_check check (jsonb_typeof(metadata) = 'object')
);
comment on table public.push_subscriptions is 'A person''s device that takes Web Push, as its browser described it.';
comment on column public.push_subscriptions.endpoint is 'The push service''s address of the device; who knows it may write to the device.';
comment on column public.push_subscriptions.retired_reason is 'Why nothing is sent to it any more: gone (the push service said so), removed or replaced.';

create unique index if not exists push_subscriptions_endpoint_key on public.push_subscriptions (endpoint);
create index if not exists push_subscriptions_user_idx on public.push_subscriptions (user_id);
create index if not exists push_subscriptions_active_idx on public.push_subscriptions (user_id) where retired_at is null;

revoke all on public.push_subscriptions from public, anon, authenticated, service_role;
grant select (id, user_id, endpoint, label, last_sent_at, retired_at, retired_reason, created_at, updated_at)
  on public.push_subscriptions to authenticated;
grant select, insert, update, delete on public.push_subscriptions to service_role;
alter table public.push_subscriptions enable row level security;

drop policy if exists push_subscriptions_select_own on public.push_subscriptions;
create policy push_subscriptions_select_own on public.push_subscriptions for select to authenticated
using (user_id = (select private.me()));
comment on policy push_subscriptions_select_own on public.push_subscriptions is
  'Everybody sees their own devices, without the keys; nobody else''s, since an address is a key by itself.';

drop trigger if exists push_subscriptions_touch on public.push_subscriptions;
create trigger push_subscriptions_touch before update on public.push_subscriptions
for each row execute function private.touch_updated_at();
