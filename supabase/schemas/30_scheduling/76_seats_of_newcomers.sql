-- Somebody who was invited as a guest and signs up later finds the sessions they were invited to.

create or replace function private.tie_seats_to_user()
returns trigger
language plpgsql
security definer
set search_path = ''
as $$
begin
  update public.session_attendees as a
  set user_id = new.client_id
  where a.coach_client_id = new.id and a.user_id is null and a.role <> 'coach'
    and not exists (
      select from public.session_attendees as other
      where other.session_id = a.session_id and other.user_id = new.client_id
    );
  return null;
end;
$$;
revoke execute on function private.tie_seats_to_user() from public, anon, authenticated, service_role;
comment on function private.tie_seats_to_user() is
  'security definer: nobody may write whose seat it is. Trigger: an account that is tied to a coach''s client takes over the seats that the client held by e-mail address.';

drop trigger if exists coach_clients_tie_seats on public.coach_clients;
create trigger coach_clients_tie_seats after update of client_id on public.coach_clients
  for each row when (old.client_id is null and new.client_id is not null) execute function private.tie_seats_to_user();
