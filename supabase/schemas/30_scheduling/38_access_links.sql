-- Links that let somebody act without signing in. The token is in the link alone; here is its hash.

create table if not exists private.access_links (
  token_hash text primary key,
  purpose text not null,
  attendee_id uuid not null references public.session_attendees (id) on delete cascade,
  email text,
  created_at timestamptz not null default now(),
  expires_at timestamptz not null,
  used_at timestamptz,
  revoked_at timestamptz,
  constraint access_links_purpose check (purpose in ('confirm', 'decline', 'move', 'cancel')),
  constraint access_links_hash_form check (token_hash ~ '^[0-9a-f]{64}$')
);
comment on table private.access_links is
  'Random tokens sent by e-mail, as SHA-256: each for one action on one seat, once, until it expires or is revoked.';
comment on column private.access_links.used_at is 'When it did what it is for. It then does nothing more, and still shows that it did.';

create index if not exists access_links_attendee_idx on private.access_links (attendee_id);
create index if not exists access_links_expiry_idx on private.access_links (expires_at);

revoke all on private.access_links from public, anon, authenticated, service_role;
alter table private.access_links enable row level security;
