-- Somebody wants a time and has no session yet: it is held for them while they pay, or the coach is asked.

create table if not exists public.booking_requests (
  id uuid primary key default gen_random_uuid(),
  kind text not null,
  coach_id uuid not null references public.users (id) on delete cascade,
  client_id uuid not null references public.users (id) on delete cascade,
  template_id uuid not null references public.session_templates (id) on delete cascade,
  starts_at timestamptz not null,
  duration_minutes integer not null,
  timezone text,
  message text,
  price_cents integer,
  currency text not null,
  terms jsonb,
  status text not null default 'pending',
  expires_at timestamptz not null,
  answered_at timestamptz,
  answered_by uuid references public.users (id) on delete set null,
  reason text,
  block_id uuid,
  session_id uuid references public.sessions (id) on delete set null,
  created_at timestamptz not null default now(),
  updated_at timestamptz not null default now(),
  constraint booking_requests_kind check (kind in ('hold', 'request')),
  constraint booking_requests_status check (status in ('pending', 'booked', 'declined', 'withdrawn', 'lost')),
  constraint booking_requests_answered check ((status = 'pending') = (answered_at is null)),
  constraint booking_requests_text_lengths check (char_length(message) <= 2000 and char_length(reason) <= 2000)
);
comment on table public.booking_requests is
  'A time that is held while a client pays (hold), or that a coach is asked for (request). It ends as a session, or not; pending and past expires_at is expired.';
comment on column public.booking_requests.terms is 'What cancelling will cost, as it was shown; see session_attendees.terms.';
comment on column public.booking_requests.status is 'lost: paid for after it had expired, and by then somebody else had the time. The money is to go back.';
comment on column public.booking_requests.block_id is 'What keeps the time free; null for a request that blocks nothing. No foreign key: who clears an expired block must not have to lock the request.';

create index if not exists booking_requests_coach_idx on public.booking_requests (coach_id, created_at, id);
create index if not exists booking_requests_client_idx on public.booking_requests (client_id, created_at, id);
create index if not exists booking_requests_template_idx on public.booking_requests (template_id);
create index if not exists booking_requests_answered_by_idx on public.booking_requests (answered_by);
create index if not exists booking_requests_session_idx on public.booking_requests (session_id);
create index if not exists booking_requests_open_idx on public.booking_requests (coach_id, starts_at) where status = 'pending';

revoke all on public.booking_requests from public, anon, authenticated, service_role;
grant select, insert, update, delete on public.booking_requests to service_role;
grant select on public.booking_requests to authenticated;

alter table public.booking_requests enable row level security;

drop policy if exists booking_requests_select_people on public.booking_requests;
create policy booking_requests_select_people on public.booking_requests for select to authenticated
  using (coach_id = (select private.me()) or client_id = (select private.me()) or (select private.i_am_admin()));
comment on policy booking_requests_select_people on public.booking_requests is
  'Whoever asks and whoever is asked see it, and an admin. It is written through functions.';

drop trigger if exists booking_requests_touch on public.booking_requests;
create trigger booking_requests_touch before update on public.booking_requests
  for each row execute function private.touch_updated_at();
