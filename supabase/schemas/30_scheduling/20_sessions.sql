-- Sessions: the old columns in their old order, then the review's, then Loom's. Policies stand in 50_membership.sql.

create table if not exists public.sessions (
  id uuid primary key default gen_random_uuid(),
  coach_id uuid not null references public.users (id) on delete cascade,
  client_id uuid references public.users (id) on delete cascade,
  title text not null,
  description text,
  scheduled_at timestamptz not null,
  duration_minutes integer not null default 60,
  status public.session_status not null default 'scheduled',
  meeting_url text,
  notes text,
  created_at timestamptz not null default now(),
  updated_at timestamptz not null default now(),
  template_id uuid,
  location text,
  price_cents integer check (price_cents >= 0),
  currency text not null default 'ILS',
  billing_status public.session_billing_status not null default 'unbilled',
  invoice_id uuid,
  cancellation_reason text,
  type text not null default 'individual',
  capacity integer,
  timezone text,
  roster_visible boolean not null,
  buffer_before_minutes integer not null,
  buffer_after_minutes integer not null,
  ends_at timestamptz not null,
  started_at timestamptz,
  completed_at timestamptz,
  cancelled_at timestamptz,
  cancelled_by uuid references public.users (id) on delete set null,
  no_show_grace_minutes integer,
  constraint sessions_different_users check (coach_id <> client_id),
  constraint sessions_positive_duration check (duration_minutes > 0)
);

select private.ensure_constraints(
  'public.sessions',
  'sessions_template_id_fkey foreign key (template_id) references public.session_templates (id) on delete set null',
  'sessions_type check (type in (''individual'', ''group''))',
  'sessions_client_by_type check ((type = ''individual'' and client_id is not null) or (type = ''group'' and client_id is null))',
  'sessions_capacity_range check (capacity between 1 and 1000)',
  'sessions_currency_code check (private.is_currency(currency))',
  'sessions_buffer_range check (buffer_before_minutes between 0 and 240 and buffer_after_minutes between 0 and 240)',
  'sessions_ends_after_start check (ends_at > scheduled_at)',
  'sessions_grace_range check (no_show_grace_minutes between 0 and 10080)');

comment on table public.sessions is
  'A coach''s session with one client (type individual) or several people (type group). Who takes part, at what price and how it stands with the money is in session_attendees.';
comment on column public.sessions.client_id is 'The client of an individual session; null for a group.';
comment on column public.sessions.notes is 'Read by everybody who takes part. Private notes belong in coach_notes.';
comment on column public.sessions.price_cents is 'The price of one seat in minor units of currency, from the template unless said otherwise; null is not decided.';
comment on column public.sessions.billing_status is 'Derived from the seats: the least settled of them.';
comment on column public.sessions.timezone is 'The IANA zone the session was agreed in; the coach''s when nothing else was said.';
comment on column public.sessions.ends_at is 'scheduled_at plus duration_minutes of elapsed time, kept by trigger.';
comment on column public.sessions.roster_visible is 'Whether attendees may see one another''s names, from the template unless said otherwise.';
comment on column public.sessions.buffer_before_minutes is 'Time of the coach kept free before, from the template unless said otherwise.';
comment on column public.sessions.buffer_after_minutes is 'Time of the coach kept free after, from the template unless said otherwise.';
comment on column public.sessions.cancelled_by is
  'Whose wish it was: of the client too where the coach cancelled on their behalf. Who did it stands in session_events.';
comment on column public.sessions.no_show_grace_minutes is
  'Who confirmed and was not checked in so long after the end counts as a no-show, from the template or the coach when it is made; null and nobody does unless the coach says so.';

create index if not exists idx_sessions_client_id on public.sessions (client_id);
create index if not exists idx_sessions_coach_client on public.sessions (coach_id, client_id);
create index if not exists idx_sessions_coach_id on public.sessions (coach_id);
create index if not exists idx_sessions_coach_status_date
  on public.sessions (coach_id, status, ((scheduled_at at time zone 'UTC')::date));
create index if not exists idx_sessions_scheduled_at on public.sessions (scheduled_at);
create index if not exists idx_sessions_scheduled_at_date on public.sessions (((scheduled_at at time zone 'UTC')::date));
create index if not exists idx_sessions_status on public.sessions (status);
create index if not exists idx_sessions_status_scheduled_at on public.sessions (status, scheduled_at);
create index if not exists sessions_coach_scheduled_idx on public.sessions (coach_id, scheduled_at, id);
create index if not exists sessions_client_scheduled_idx on public.sessions (client_id, scheduled_at, id);
create index if not exists sessions_template_idx on public.sessions (template_id);
create index if not exists sessions_invoice_idx on public.sessions (invoice_id);
create index if not exists sessions_no_show_due_idx on public.sessions (ends_at) where no_show_grace_minutes is not null;
create index if not exists sessions_cancelled_by_idx on public.sessions (cancelled_by);

revoke all on public.sessions from public, anon, authenticated, service_role;
grant select, insert, update, delete on public.sessions to service_role;
grant select on public.sessions to authenticated;
grant insert (
  coach_id, client_id, title, description, scheduled_at, duration_minutes, status, meeting_url, notes, template_id,
  location, price_cents, currency, type, capacity, timezone, roster_visible, buffer_before_minutes, buffer_after_minutes,
  no_show_grace_minutes
) on public.sessions to authenticated;
grant update (
  title, description, meeting_url, notes, location, price_cents, currency, capacity, timezone, roster_visible,
  buffer_before_minutes, buffer_after_minutes, no_show_grace_minutes
) on public.sessions to authenticated;

alter table public.sessions enable row level security;

drop trigger if exists sessions_touch on public.sessions;
create trigger sessions_touch before update on public.sessions
  for each row execute function private.touch_updated_at();
