create or replace function private.clean_name(p_value jsonb)
returns text
language sql
immutable
security invoker
set search_path = ''
as $$
  -- Sign-up metadata is whatever the caller typed: only short plain text survives.
  select case
    when jsonb_typeof(p_value) = 'string' and char_length(btrim(p_value #>> '{}')) between 1 and 100
      and btrim(p_value #>> '{}') !~ '[[:cntrl:]<>]' and private.is_plain_line(btrim(p_value #>> '{}'))
    then btrim(p_value #>> '{}')
  end
$$;
comment on function private.clean_name(jsonb) is 'A name from sign-up metadata, or null when it is not short plain text.';
revoke execute on function private.clean_name(jsonb) from public, anon, authenticated, service_role;

create or replace function private.handle_new_user()
returns trigger
language plpgsql
security definer
set search_path = ''
as $$
declare
  meta jsonb := case when jsonb_typeof(new.raw_user_meta_data) = 'object' then new.raw_user_meta_data else '{}'::jsonb end;
  zone text := meta ->> 'timezone';
  tongue text := meta ->> 'language';
begin
  -- Accounts without an address (signed up by phone) get their profile when one is confirmed.
  if new.email is null or exists (select from public.users as u where u.id = new.id) then
    return new;
  end if;
  -- The address may already belong to a profile (another sign-in service, an import). Handing that profile to the new account
  -- would let anyone take it over, and stopping the sign-up would tell a stranger that the address is known. So the account
  -- stands without a profile, which no policy gives anything, and the event is kept for the operator.
  if exists (select from public.users as u where lower(u.email) = lower(new.email)) then
    insert into private.identity_events (event, details)
    values ('sign_up_address_taken', jsonb_build_object('auth_user_id', new.id));
    return new;
  end if;
  insert into public.users (id, email, role, first_name, last_name, phone, timezone, language)
  values (
    new.id,
    new.email,
    -- Never from the metadata: whoever signs up writes that.
    'client',
    private.clean_name(meta -> 'first_name'),
    private.clean_name(meta -> 'last_name'),
    case when meta ->> 'phone' ~ '^\+?[0-9 ()./-]{5,30}$' then btrim(meta ->> 'phone') end,
    case when private.is_time_zone(zone) then zone else 'UTC' end,
    case when tongue in ('en', 'he') then tongue::public.language else 'en'::public.language end
  );
  return new;
end;
$$;
comment on function private.handle_new_user() is
  'security definer: the sign-in service''s role may not write users. Trigger: makes the profile of a new account, always as a client.';
revoke execute on function private.handle_new_user() from public, anon, authenticated, service_role;

-- Replaced, not dropped: the owner of Loom's tables may put triggers on auth.users but does not own it.
create or replace trigger on_auth_user_created after insert on auth.users
for each row execute function private.handle_new_user();
