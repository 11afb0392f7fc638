create or replace function private.fail(status integer, code text, message text, hint text default null)
returns void
language plpgsql
security invoker
set search_path = ''
as $$
begin
  -- SQLSTATE PTxxx is answered with HTTP status xxx by PostgREST and by Loom; the code travels as the constraint name.
  if hint is null then
    raise exception using errcode = 'PT' || status, message = message, constraint = code;
  end if;
  raise exception using errcode = 'PT' || status, message = message, hint = hint, constraint = code;
end;
$$;
comment on function private.fail(integer, text, text, text) is
  'Refuses the current statement: an HTTP status, a stable code and a sentence for people.';
revoke execute on function private.fail(integer, text, text, text) from public, anon, authenticated, service_role;
grant execute on function private.fail(integer, text, text, text) to anon, authenticated, service_role;
