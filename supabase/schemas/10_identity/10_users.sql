create table if not exists public.users (
  id uuid not null primary key references auth.users (id) on delete cascade,
  email text not null unique,
  role public.user_role not null default 'client',
  first_name text,
  last_name text,
  phone text,
  avatar_url text,
  timezone text default 'UTC',
  language public.language not null default 'en',
  status public.user_status not null default 'active',
  created_at timestamptz not null default now(),
  updated_at timestamptz not null default now(),
  last_seen_at timestamptz,
  mfa_enabled boolean default false,
  mfa_secret text,
  mfa_backup_codes text[],
  mfa_verified_at timestamptz,
  mfa_setup_completed boolean default false,
  remember_device_enabled boolean default false,
  constraint users_timezone_known check (timezone is null or private.is_time_zone(timezone))
);

comment on table public.users is 'A person: profile, app role and state. Rows come from sign-up; the role is never chosen by the person.';
comment on column public.users.role is 'What the person is in Loom. Changed only by public.set_user_role; no token or sign-up metadata sets it.';
comment on column public.users.status is 'Only active users get anything from any policy.';
comment on column public.users.mfa_secret is 'Left by earlier versions and granted to nobody. Loom keeps second factors in private.credentials.';

select private.ensure_constraints(
  'public.users',
  'users_timezone_known check (timezone is null or private.is_time_zone(timezone))');

create unique index if not exists users_email_lower_key on public.users (lower(email));
create index if not exists idx_users_created_at_date on public.users (((created_at at time zone 'UTC')::date));
create index if not exists idx_users_email on public.users (email);
create index if not exists idx_users_id_email on public.users (id, email);
create index if not exists idx_users_last_seen_at_date on public.users (((last_seen_at at time zone 'UTC')::date))
  where last_seen_at is not null;
create index if not exists idx_users_mfa_enabled on public.users (mfa_enabled);
create index if not exists idx_users_role on public.users (role);
create index if not exists idx_users_status on public.users (status);

revoke all on public.users from public, anon, authenticated, service_role;
grant select (
  id, email, role, first_name, last_name, phone, avatar_url, timezone, language, status, created_at, updated_at, last_seen_at
) on public.users to authenticated;
grant update (first_name, last_name, phone, avatar_url, timezone, language) on public.users to authenticated;
grant select, insert, update, delete on public.users to service_role;

alter table public.users enable row level security;

create or replace function private.check_user_names()
returns trigger
language plpgsql
security invoker
set search_path = ''
as $$
begin
  -- A name is shown beside everything that a person writes. Characters that are not seen or that turn text around would make it
  -- look like another, or turn what stands beside it. Names from before stay as they are.
  if tg_op = 'UPDATE' and (new.first_name, new.last_name) is not distinct from (old.first_name, old.last_name) then
    return new;
  end if;
  if private.acting_as_api() and exists (
    select
    from unnest(array[new.first_name, new.last_name]) as given (name)
    where char_length(btrim(given.name)) not between 1 and 100 or not private.is_plain_line(given.name)
  ) then
    perform private.fail(422, 'name_invalid', 'A name has 1 to 100 characters, all of them visible.');
  end if;
  return new;
end;
$$;
comment on function private.check_user_names() is 'Trigger: the measure of a name that API users give themselves.';
revoke execute on function private.check_user_names() from public, anon, authenticated, service_role;

drop trigger if exists users_names on public.users;
create trigger users_names before insert or update of first_name, last_name on public.users
for each row execute function private.check_user_names();
drop trigger if exists users_touch on public.users;
create trigger users_touch before update on public.users
for each row execute function private.touch_updated_at();
