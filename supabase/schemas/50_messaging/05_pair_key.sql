create or replace function private.pair_key(p_one uuid, p_other uuid, p_session_id uuid default null)
returns text
language sql
immutable
security invoker
set search_path = ''
as $$
  select least(p_one, p_other)::text || ':' || greatest(p_one, p_other)::text || coalesce('@' || p_session_id::text, '')
$$;
comment on function private.pair_key(uuid, uuid, uuid) is 'The direct_key of two people, whoever starts.';
revoke execute on function private.pair_key(uuid, uuid, uuid) from public, anon, authenticated, service_role;
