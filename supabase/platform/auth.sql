-- Schema auth as far as Loom uses it. On Supabase it belongs to Supabase; here Loom's own issuer fills auth.users.
create schema if not exists auth;

create table if not exists auth.users (
  id uuid primary key default gen_random_uuid(),
  aud varchar(255),
  role varchar(255),
  email varchar(255),
  encrypted_password varchar(255),
  email_confirmed_at timestamptz,
  raw_app_meta_data jsonb,
  raw_user_meta_data jsonb,
  created_at timestamptz default now(),
  updated_at timestamptz default now()
);
comment on table auth.users is 'People who can sign in. Supabase''s own table where there is Supabase.';

create unique index if not exists users_email_key on auth.users (lower(email));

create or replace function auth.jwt() returns jsonb
  language sql stable set search_path = ''
  as $$ select nullif(current_setting('request.jwt.claims', true), '')::jsonb $$;
comment on function auth.jwt() is 'Claims of the current request; null outside one.';

create or replace function auth.uid() returns uuid
  language sql stable set search_path = ''
  as $$ select nullif(nullif(current_setting('request.jwt.claims', true), '')::jsonb ->> 'sub', '')::uuid $$;
comment on function auth.uid() is 'Subject of the current request''s token; null without one.';

create or replace function auth.role() returns text
  language sql stable set search_path = ''
  as $$ select nullif(current_setting('request.jwt.claims', true), '')::jsonb ->> 'role' $$;
comment on function auth.role() is 'Role that the current request''s claims name.';

grant usage on schema auth to anon, authenticated, service_role, loom_owner;
revoke all on auth.users from public, anon, authenticated;
grant select, insert, update, delete, references, trigger on auth.users to loom_owner;
grant select, insert, update, delete on auth.users to service_role;
grant execute on function auth.jwt(), auth.uid(), auth.role() to anon, authenticated, service_role, loom_owner;
