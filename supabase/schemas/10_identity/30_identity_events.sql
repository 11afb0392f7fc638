create table if not exists private.identity_events (
  id uuid primary key default gen_random_uuid(),
  user_id uuid references public.users (id) on delete set null,
  actor_id uuid references public.users (id) on delete set null,
  event text not null,
  details jsonb not null default '{}',
  created_at timestamptz not null default now(),
  constraint identity_events_event_check check (event ~ '^[a-z_]{3,60}$'),
  constraint identity_events_details_check check (jsonb_typeof(details) = 'object')
);
comment on table private.identity_events is
  'What happened to accounts: role and state changes, refused sign-ups, repairs of profiles. Only ever appended to.';
create index if not exists identity_events_user_id_idx on private.identity_events (user_id, created_at);
create index if not exists identity_events_actor_id_idx on private.identity_events (actor_id);

revoke all on private.identity_events from public, anon, authenticated, service_role;
grant select, insert on private.identity_events to service_role;
alter table private.identity_events enable row level security;
