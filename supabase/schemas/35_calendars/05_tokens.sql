-- Tokens that stand in addresses: random, shown once, kept as a hash.

create or replace function private.new_token()
returns text
language sql
volatile
security invoker
set search_path = ''
as $$
  -- Two random uuids carry 244 random bits; hashing them together gives a token without structure.
  select encode(sha256(uuid_send(gen_random_uuid()) || uuid_send(gen_random_uuid())), 'hex');
$$;
revoke execute on function private.new_token() from public, anon, authenticated, service_role;
comment on function private.new_token() is 'A random token for an address, 64 hexadecimal digits.';

create or replace function private.token_hash(p_token text)
returns text
language sql
immutable
security invoker
set search_path = ''
as $$
  select encode(sha256(convert_to(p_token, 'UTF8')), 'hex');
$$;
revoke execute on function private.token_hash(text) from public, anon, authenticated, service_role;
comment on function private.token_hash(text) is 'What is stored of a token.';
