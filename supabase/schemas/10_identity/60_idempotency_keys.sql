create table if not exists private.idempotency_keys (
  scope text not null,
  key text not null,
  fingerprint text not null,
  response_status integer,
  response_headers jsonb,
  response_body bytea,
  created_at timestamptz not null default now(),
  primary key (scope, key),
  constraint idempotency_keys_key_check check (char_length(key) between 1 and 255)
);
comment on table private.idempotency_keys is
  'The first answer to each Idempotency-Key of each caller, written in the transaction of the change itself, so both stand or neither.';
comment on column private.idempotency_keys.scope is 'Whose key it is: the user''s id, or what an anonymous route chose.';
comment on column private.idempotency_keys.fingerprint is 'Hash of method, path and body: the same key for another request is refused.';
create index if not exists idempotency_keys_created_at_idx on private.idempotency_keys (created_at);

revoke all on private.idempotency_keys from public, anon, authenticated, service_role;
grant select, insert, update, delete on private.idempotency_keys to service_role;
alter table private.idempotency_keys enable row level security;

create or replace function private.claim_idempotency_key(p_key text, p_fingerprint text)
returns table (is_new boolean, response_status integer, response_headers jsonb, response_body bytea)
language plpgsql
security definer
set search_path = ''
as $$
declare
  whose text := private.me()::text;
  found_row private.idempotency_keys%rowtype;
begin
  if whose is null then
    perform private.fail(401, 'not_authenticated', 'Sign in to use an Idempotency-Key here.');
  end if;
  -- A second request with the key waits here for the first one's transaction, then reads its answer.
  insert into private.idempotency_keys (scope, key, fingerprint) values (whose, p_key, p_fingerprint)
  on conflict (scope, key) do nothing;
  if found then
    return query select true, null::integer, null::jsonb, null::bytea;
    return;
  end if;
  select * into found_row from private.idempotency_keys as k where k.scope = whose and k.key = p_key;
  if found_row.fingerprint is distinct from p_fingerprint then
    perform private.fail(422, 'idempotency_key_reused', 'The Idempotency-Key was used for another request.');
  end if;
  return query select false, found_row.response_status, found_row.response_headers, found_row.response_body;
end;
$$;
comment on function private.claim_idempotency_key(text, text) is
  'security definer: callers must not read stored answers but their own. Takes the caller''s key, or gives the first answer to it.';
revoke execute on function private.claim_idempotency_key(text, text) from public, anon, authenticated, service_role;
grant execute on function private.claim_idempotency_key(text, text) to authenticated, service_role;

create or replace function private.keep_idempotent_answer(
  p_key text, p_status integer, p_headers jsonb, p_body bytea
)
returns void
language sql
security definer
set search_path = ''
as $$
  update private.idempotency_keys
  set response_status = p_status, response_headers = p_headers, response_body = p_body
  where scope = private.me()::text and key = p_key and response_status is null
$$;
comment on function private.keep_idempotent_answer(text, integer, jsonb, bytea) is
  'security definer: callers must not write stored answers but their own. Keeps the answer of the key claimed in this transaction.';
revoke execute on function private.keep_idempotent_answer(text, integer, jsonb, bytea)
from public, anon, authenticated, service_role;
grant execute on function private.keep_idempotent_answer(text, integer, jsonb, bytea) to authenticated, service_role;
