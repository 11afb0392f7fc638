-- Files, ratings, feedback and requests: what the older application kept around sessions.

create table public.file_uploads (
  id uuid primary key default gen_random_uuid(),
  user_id uuid not null references public.users (id) on delete cascade,
  session_id uuid references public.sessions (id) on delete set null,
  filename text not null,
  original_filename text not null,
  storage_path text not null unique,
  file_type text not null,
  file_size bigint not null,
  file_category public.file_category not null default 'document',
  bucket_name text not null,
  description text,
  tags text[] default array[]::text[],
  is_shared boolean not null default false,
  download_count integer not null default 0,
  created_at timestamptz default now(),
  updated_at timestamptz default now(),
  current_version integer default 1,
  version_count integer default 1,
  versioning_enabled boolean default true,
  auto_version_on_update boolean default true,
  max_versions integer default 10,
  constraint file_uploads_file_size_check check (file_size > 0),
  constraint file_uploads_valid_bucket check (bucket_name in ('avatars', 'documents', 'session-files', 'uploads')),
  constraint file_uploads_valid_mime_type check (file_type ~ '^[a-z]+/[a-z0-9.-]+$')
);
create index idx_file_uploads_bucket_name on public.file_uploads (bucket_name);
create index idx_file_uploads_created_at on public.file_uploads (created_at);
create index idx_file_uploads_file_category on public.file_uploads (file_category);
create index idx_file_uploads_is_shared on public.file_uploads (is_shared) where is_shared = true;
create index idx_file_uploads_session_id on public.file_uploads (session_id) where session_id is not null;
create index idx_file_uploads_storage_path on public.file_uploads (storage_path);
create index idx_file_uploads_tags on public.file_uploads using gin (tags);
create index idx_file_uploads_user_category_created on public.file_uploads (user_id, file_category, created_at desc);
create index idx_file_uploads_user_id on public.file_uploads (user_id);
create index idx_files_owner_session on public.file_uploads (user_id, session_id);
alter table public.file_uploads enable row level security;

create table public.file_shares (
  id uuid primary key default gen_random_uuid(),
  file_id uuid not null references public.file_uploads (id) on delete cascade,
  shared_by uuid not null references public.users (id) on delete cascade,
  shared_with uuid not null references public.users (id) on delete cascade,
  permission_type public.file_permission_type not null default 'view',
  expires_at timestamptz,
  access_count integer not null default 0,
  last_accessed_at timestamptz,
  created_at timestamptz default now(),
  constraint file_shares_unique_sharing unique (file_id, shared_by, shared_with),
  constraint file_shares_future_expiration check (expires_at > created_at),
  constraint file_shares_no_self_sharing check (shared_by <> shared_with)
);
create index idx_file_shares_active on public.file_shares (shared_with, created_at) where expires_at is null;
create index idx_file_shares_expires_at on public.file_shares (expires_at) where expires_at is not null;
create index idx_file_shares_file_id on public.file_shares (file_id);
create index idx_file_shares_shared_by on public.file_shares (shared_by);
create index idx_file_shares_shared_with on public.file_shares (shared_with);
alter table public.file_shares enable row level security;

create table public.session_files (
  id uuid primary key default gen_random_uuid(),
  session_id uuid not null references public.sessions (id) on delete cascade,
  file_id uuid not null references public.file_uploads (id) on delete cascade,
  file_category public.file_category not null default 'resource',
  uploaded_by uuid references public.users (id) on delete set null,
  is_required boolean not null default false,
  created_at timestamptz default now(),
  constraint session_files_unique_attachment unique (session_id, file_id)
);
create index idx_session_files_category on public.session_files (file_category);
create index idx_session_files_file_id on public.session_files (file_id);
create index idx_session_files_required on public.session_files (session_id, is_required) where is_required = true;
create index idx_session_files_session_category on public.session_files (session_id, file_category);
create index idx_session_files_session_id on public.session_files (session_id);
create index idx_session_files_uploaded_by_fk on public.session_files (uploaded_by);
alter table public.session_files enable row level security;

create table public.session_ratings (
  id uuid primary key default gen_random_uuid(),
  session_id uuid not null unique references public.sessions (id) on delete cascade,
  coach_id uuid not null references public.users (id) on delete cascade,
  client_id uuid not null references public.users (id) on delete cascade,
  rating integer not null,
  review text,
  created_at timestamptz default now(),
  updated_at timestamptz default now(),
  constraint session_ratings_rating_check check (rating >= 1 and rating <= 5)
);
create index idx_session_ratings_client_id on public.session_ratings (client_id);
create index idx_session_ratings_coach_id on public.session_ratings (coach_id);
create index idx_session_ratings_created_at on public.session_ratings (created_at);
create index idx_session_ratings_rating on public.session_ratings (rating);
create index idx_session_ratings_session_id on public.session_ratings (session_id);

create table public.session_feedback (
  id uuid primary key default gen_random_uuid(),
  session_id uuid not null references public.sessions (id) on delete cascade,
  client_id uuid not null references public.users (id) on delete cascade,
  coach_id uuid not null references public.users (id) on delete cascade,
  overall_rating integer not null,
  communication_rating integer,
  helpfulness_rating integer,
  preparation_rating integer,
  feedback_text text,
  would_recommend boolean,
  anonymous boolean not null default false,
  created_at timestamptz default now(),
  updated_at timestamptz default now(),
  constraint session_feedback_session_id_client_id_key unique (session_id, client_id),
  constraint different_users check (client_id <> coach_id),
  constraint valid_overall_rating check (overall_rating between 1 and 5),
  constraint valid_communication_rating check (communication_rating between 1 and 5),
  constraint valid_helpfulness_rating check (helpfulness_rating between 1 and 5),
  constraint valid_preparation_rating check (preparation_rating between 1 and 5)
);
create index idx_session_feedback_client_id on public.session_feedback (client_id);
create index idx_session_feedback_coach_id on public.session_feedback (coach_id);
create index idx_session_feedback_overall_rating on public.session_feedback (overall_rating);
create index idx_session_feedback_session_id on public.session_feedback (session_id);
alter table public.session_feedback enable row level security;

create table public.session_requests (
  id uuid primary key default gen_random_uuid(),
  coach_id uuid not null references public.users (id) on delete cascade,
  client_id uuid not null references public.users (id) on delete cascade,
  requested_by uuid not null references public.users (id) on delete cascade,
  session_id uuid references public.sessions (id) on delete set null,
  requested_at timestamptz not null default now(),
  scheduled_at timestamptz not null,
  duration_minutes integer not null,
  status public.session_request_status not null default 'pending',
  title text,
  timezone text,
  meeting_url text,
  notes text,
  reschedule_reason text,
  created_at timestamptz not null default now(),
  updated_at timestamptz not null default now(),
  constraint session_requests_duration_check check (duration_minutes between 15 and 480)
);
create index idx_session_requests_coach on public.session_requests (coach_id, status, scheduled_at);
create index idx_session_requests_client on public.session_requests (client_id, status, scheduled_at);
create index idx_session_requests_requested_by on public.session_requests (requested_by, requested_at);
alter table public.session_requests enable row level security;

-- Asked again at every update, so that a session older than a day can be neither changed nor restored.
alter table public.sessions
  add constraint sessions_future_or_current check (scheduled_at >= now() - interval '1 day');
