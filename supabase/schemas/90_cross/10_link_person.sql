create index if not exists session_attendees_guest_email_idx on public.session_attendees (email) where user_id is null;

create or replace function private.link_person(p_user_id uuid)
returns void
language plpgsql
security definer
set search_path = ''
as $$
declare
  address text;
begin
  select lower(u.email) into address from public.users as u where u.id = p_user_id;
  if address is null then
    return;
  end if;
  -- A coach who already has a row for the account keeps that one: two rows for one pair would break the unique key.
  update public.coach_clients as c
  set client_id = p_user_id,
      status = case when c.status = 'ended' then 'ended' else 'active' end,
      accepted_at = coalesce(c.accepted_at, now())
  where c.client_id is null
    and lower(c.email) = address
    and c.coach_id <> p_user_id
    and not exists (
      select from public.coach_clients as other where other.coach_id = c.coach_id and other.client_id = p_user_id
    );
  -- Seats that were taken under the address, in sessions where the person holds none yet.
  update public.session_attendees as a
  set user_id = p_user_id
  where a.user_id is null
    and a.email = address
    and a.coach_id <> p_user_id
    and not exists (
      select from public.session_attendees as other where other.session_id = a.session_id and other.user_id = p_user_id
    );
end;
$$;
comment on function private.link_person(uuid) is
  'security definer: ties rows of other people''s. Ties clients and seats kept under an address to the account that has just proven it.';
revoke execute on function private.link_person(uuid) from public, anon, authenticated, service_role;
grant execute on function private.link_person(uuid) to service_role;

create or replace function private.link_verified_person()
returns trigger
language plpgsql
security definer
set search_path = ''
as $$
begin
  perform private.link_person(new.user_id);
  return null;
end;
$$;
comment on function private.link_verified_person() is
  'security definer: calls link_person. Trigger: an address verified with Loom''s own issuer ties what waits for it.';
revoke execute on function private.link_verified_person() from public, anon, authenticated, service_role;

drop trigger if exists credentials_link_person on private.credentials;
create trigger credentials_link_person after insert or update of email_verified_at on private.credentials
for each row when (new.email_verified_at is not null) execute function private.link_verified_person();
