-- The inbox of gateways: each signed event once, stored before anything is done with it.
create table if not exists public.webhook_events (
  id uuid primary key default gen_random_uuid(),
  gateway_account_id uuid not null references public.gateway_accounts (id) on delete restrict,
  provider text not null,
  event_id text not null,
  event_type text not null,
  occurred_at timestamptz,
  payload jsonb not null,
  status text not null default 'received',
  attempts integer not null default 0,
  outcome text,
  error_message text,
  received_at timestamptz not null default now(),
  last_received_at timestamptz not null default now(),
  times_received integer not null default 1,
  handled_at timestamptz,
  replayed_at timestamptz,
  replayed_by uuid references public.users (id) on delete set null,
  created_at timestamptz not null default now(),
  updated_at timestamptz not null default now(),
  constraint webhook_events_once unique (gateway_account_id, event_id),
  constraint webhook_events_status_known check (status in ('received', 'handled', 'ignored', 'failed')),
  constraint webhook_events_handled_when_done check ((status in ('handled', 'ignored')) = (handled_at is not null)),
  constraint webhook_events_payload_object check (jsonb_typeof(payload) = 'object')
);
comment on table public.webhook_events is
  'Verified webhook events as they came, one row per account and event however often it was sent. Bodies are the service''s alone.';
comment on column public.webhook_events.outcome is 'What handling it changed, in one word, for people who look for a reason.';
comment on column public.webhook_events.times_received is 'How often the gateway sent it.';
comment on column public.webhook_events.replayed_by is 'The admin who last had it handled once more; null where the operator''s command did.';

create index if not exists webhook_events_open_idx on public.webhook_events (received_at) where handled_at is null;
create index if not exists webhook_events_newest_idx on public.webhook_events (received_at desc, id desc);
create index if not exists webhook_events_replayed_by_idx on public.webhook_events (replayed_by) where replayed_by is not null;

revoke all on public.webhook_events from public, anon, authenticated, service_role;
grant select, insert, update on public.webhook_events to service_role;
grant select (id, gateway_account_id, provider, event_id, event_type, occurred_at, status, attempts, outcome, error_message, received_at,
  last_received_at, times_received, handled_at, replayed_at, replayed_by, created_at, updated_at) on public.webhook_events to authenticated;
alter table public.webhook_events enable row level security;
drop policy if exists webhook_events_select_admin on public.webhook_events;
create policy webhook_events_select_admin on public.webhook_events for select to authenticated
  using ((select private.i_am_admin()));
comment on policy webhook_events_select_admin on public.webhook_events is 'An admin sees what gateways told of, without the bodies.';

drop trigger if exists webhook_events_touch on public.webhook_events;
create trigger webhook_events_touch before update on public.webhook_events
  for each row execute function private.touch_updated_at();
drop trigger if exists webhook_events_keep on public.webhook_events;
create trigger webhook_events_keep before delete on public.webhook_events
  for each row execute function private.refuse_money_delete();
