-- An older application's database, written from what is known of it: its own tables beside the base tables, with their faults.
-- Supabase grants everything on whatever is made in public to its three API roles; only policies stand in between.
alter default privileges in schema public grant all on tables to anon, authenticated, service_role;
alter default privileges in schema public grant all on functions to anon, authenticated, service_role;
alter default privileges in schema public grant all on sequences to anon, authenticated, service_role;
grant all on all tables in schema public to anon, authenticated, service_role;

create type public.file_category as enum ('preparation', 'notes', 'recording', 'resource', 'personal', 'avatar', 'document');
create type public.file_permission_type as enum ('view', 'download', 'edit');
create type public.mfa_method as enum ('totp', 'sms', 'backup_code');
create type public.mfa_status as enum ('pending', 'active', 'disabled');
create type public.security_severity as enum ('info', 'warning', 'error', 'critical');
create type public.audit_action_type as enum ('create', 'update', 'delete', 'access_check');
create type public.session_request_status as enum ('pending', 'approved', 'declined');

create table public.coach_profiles (
  id uuid primary key default gen_random_uuid(),
  coach_id uuid not null unique references public.users (id) on delete cascade,
  session_rate numeric(10, 2) not null default 75.00,
  currency varchar(3) not null default 'USD',
  specializations text[] default '{}',
  certifications jsonb default '[]',
  bio text,
  experience_years integer default 0,
  languages text[] default '{en}',
  timezone text default 'UTC',
  created_at timestamptz default now(),
  updated_at timestamptz default now(),
  constraint positive_session_rate check (session_rate >= 0),
  constraint valid_experience check (experience_years >= 0)
);
create index idx_coach_profiles_coach_id on public.coach_profiles (coach_id);
alter table public.coach_profiles enable row level security;

create table public.security_audit_log (
  id uuid primary key default gen_random_uuid(),
  user_id uuid references public.users (id) on delete set null,
  action public.audit_action_type not null default 'access_check',
  resource text,
  severity public.security_severity not null default 'info',
  details jsonb default '{}',
  created_at timestamptz default now()
);
create index idx_security_audit_log_user_id on public.security_audit_log (user_id);
alter table public.security_audit_log enable row level security;

-- Second factors, kept twice over. Three of these have no row-level security at all, as session_ratings further on.
create table public.user_mfa_methods (
  id uuid primary key default gen_random_uuid(),
  user_id uuid not null references public.users (id) on delete cascade,
  method public.mfa_method not null,
  status public.mfa_status not null default 'pending',
  secret text,
  created_at timestamptz default now()
);
create index idx_user_mfa_methods_user_id on public.user_mfa_methods (user_id);
alter table public.user_mfa_methods enable row level security;
create table public.mfa_audit_log (
  id uuid primary key default gen_random_uuid(),
  user_id uuid not null references public.users (id) on delete cascade,
  event text not null,
  created_at timestamptz default now()
);
create table public.mfa_sessions (
  id uuid primary key default gen_random_uuid(),
  user_id uuid not null references public.users (id) on delete cascade,
  token text not null,
  expires_at timestamptz not null
);
create table public.trusted_devices (
  id uuid primary key default gen_random_uuid(),
  user_id uuid not null references public.users (id) on delete cascade,
  fingerprint text not null,
  created_at timestamptz default now()
);

-- Of another domain altogether.
create table public.tasks (
  id uuid primary key default gen_random_uuid(),
  coach_id uuid not null references public.users (id) on delete cascade,
  client_id uuid references public.users (id) on delete cascade,
  title text not null,
  created_at timestamptz default now()
);
alter table public.tasks enable row level security;
