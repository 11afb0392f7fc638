-- Sessions that recur: the rule they were made by, and which of them is which.

create table if not exists public.session_series (
  id uuid primary key default gen_random_uuid(),
  coach_id uuid not null references public.users (id) on delete cascade,
  client_id uuid references public.users (id) on delete cascade,
  template_id uuid references public.session_templates (id) on delete set null,
  rule text not null,
  timezone text not null,
  created_by uuid references public.users (id) on delete set null,
  created_at timestamptz not null default now(),
  updated_at timestamptz not null default now(),
  constraint session_series_rule_length check (char_length(rule) between 1 and 500)
);
comment on table public.session_series is 'Sessions that were booked together by a rule, on one clock. Each of them is a session like any other.';
comment on column public.session_series.client_id is 'Null for a series of group sessions, whose people are those of each session.';
comment on column public.session_series.rule is 'The RRULE of RFC 5545 that the times came from, for people to read: the sessions are the truth.';
comment on column public.session_series.timezone is 'The zone on whose clock the times recur.';

create table if not exists public.series_sessions (
  session_id uuid primary key references public.sessions (id) on delete cascade,
  series_id uuid not null references public.session_series (id) on delete cascade,
  coach_id uuid not null references public.users (id) on delete cascade,
  client_id uuid references public.users (id) on delete cascade,
  ordinal integer not null,
  -- squawk-ignore prefer-timestamp-tz
  local_start timestamp not null,
  constraint series_sessions_one_each unique (series_id, ordinal),
  constraint series_sessions_ordinal_range check (ordinal between 1 and 104)
);
comment on table public.series_sessions is 'Which session of which series. A session that is moved by itself stays in its place here.';
comment on column public.series_sessions.local_start is 'The time that the rule gave, on the clock of the series.';

create index if not exists session_series_coach_idx on public.session_series (coach_id, created_at, id);
create index if not exists session_series_client_idx on public.session_series (client_id, created_at, id);
create index if not exists session_series_template_idx on public.session_series (template_id);
create index if not exists session_series_created_by_idx on public.session_series (created_by);
create index if not exists series_sessions_coach_idx on public.series_sessions (coach_id);
create index if not exists series_sessions_client_idx on public.series_sessions (client_id);

revoke all on public.session_series, public.series_sessions from public, anon, authenticated, service_role;
grant select, insert, update, delete on public.session_series, public.series_sessions to service_role;
grant select on public.session_series, public.series_sessions to authenticated;

alter table public.session_series enable row level security;
alter table public.series_sessions enable row level security;

drop policy if exists session_series_select_people on public.session_series;
create policy session_series_select_people on public.session_series for select to authenticated
  using (coach_id = (select private.me()) or client_id = (select private.me()) or (select private.i_am_admin()));
comment on policy session_series_select_people on public.session_series is 'A series is seen by its coach, its client and an admin.';
drop policy if exists series_sessions_select_people on public.series_sessions;
create policy series_sessions_select_people on public.series_sessions for select to authenticated
  using (coach_id = (select private.me()) or client_id = (select private.me()) or (select private.i_am_admin()));
comment on policy series_sessions_select_people on public.series_sessions is 'A series is seen by its coach, its client and an admin.';

drop trigger if exists session_series_touch on public.session_series;
create trigger session_series_touch before update on public.session_series
  for each row execute function private.touch_updated_at();
