-- Supabase keeps extensions in a schema of their own. Loom's exclusion constraints need btree_gist, a trusted extension.
create schema if not exists extensions;
grant usage on schema extensions to public;
grant create on schema extensions to loom_owner;
create extension if not exists btree_gist with schema extensions;
create extension if not exists pg_trgm with schema extensions;
