-- Schemas that API roles never list tables of: `private` holds helpers and secrets, `jobs` the queue.
create schema if not exists private;
comment on schema private is 'Loom: helpers of policies and triggers, credentials, tokens. Not exposed by any API.';
create schema if not exists jobs;
comment on schema jobs is 'Loom: the job queue. Not exposed by any API.';
create schema if not exists extensions;

revoke all on schema private from public, anon, authenticated, service_role;
revoke all on schema jobs from public, anon, authenticated, service_role;
-- Policies and invoker triggers call helpers as the caller; what each caller may execute is granted function by function.
grant usage on schema private to anon, authenticated, service_role;

-- Equality on uuid beside overlap on ranges, in one exclusion constraint. Trusted, so no superuser is needed.
create extension if not exists btree_gist with schema extensions;
-- Words that are nearly spelt alike, for search. Trusted too.
create extension if not exists pg_trgm with schema extensions;
