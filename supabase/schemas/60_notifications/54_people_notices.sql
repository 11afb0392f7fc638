create or replace function private.coach_notes_tell()
returns trigger
language plpgsql
security definer
set search_path = ''
as $$
begin
  if private.acting_as_api() then
    perform private.tell(
      new.client_id, 'note_shared', '/notes/' || new.id, jsonb_build_object('note_id', new.id),
      private.called(new.coach_id), new.title
    );
  end if;
  return null;
end;
$$;
comment on function private.coach_notes_tell() is
  'security definer: nobody may insert notifications. Trigger: tells a client of a note that was shared.';
revoke execute on function private.coach_notes_tell() from public, anon, authenticated, service_role;

drop trigger if exists coach_notes_tell on public.coach_notes;
create trigger coach_notes_tell after insert on public.coach_notes
for each row when (new.privacy_level = 'shared_with_client') execute function private.coach_notes_tell();
drop trigger if exists coach_notes_tell_shared on public.coach_notes;
create trigger coach_notes_tell_shared after update of privacy_level on public.coach_notes
for each row when (new.privacy_level = 'shared_with_client' and old.privacy_level <> 'shared_with_client')
execute function private.coach_notes_tell();

create or replace function private.verified_account(p_email text)
returns uuid
language sql
stable
security definer
set search_path = ''
as $$
  select u.id
  from public.users as u
  where lower(u.email) = lower(p_email)
    and (
      exists (select from private.credentials as c where c.user_id = u.id and c.email_verified_at is not null)
      or exists (
        select from auth.users as a
        where a.id = u.id and a.email_confirmed_at is not null and lower(a.email) = lower(u.email)
      )
    )
$$;
comment on function private.verified_account(text) is
  'security definer: reads credentials. The account that has proven an address, if there is one.';
revoke execute on function private.verified_account(text) from public, anon, authenticated, service_role;

create or replace function private.coach_clients_tell()
returns trigger
language plpgsql
security definer
set search_path = ''
as $$
declare
  about jsonb := jsonb_build_object('coach_client_id', new.id);
  client_name text := coalesce(new.display_name, private.called(new.client_id), new.email);
begin
  if new.status = 'invited' and private.acting_as_api()
    and (tg_op = 'INSERT' or old.invited_at is distinct from new.invited_at) then
    -- Only a real invitation moves invited_at; turning the status back and forth is no news. And an address that nobody
    -- has proven is told by mail alone.
    perform private.tell(
      coalesce(new.client_id, private.verified_account(new.email)), 'coach_invites', '/coach-invitations', about,
      private.called(new.coach_id)
    );
  elsif tg_op = 'UPDATE' and old.status = 'invited' and new.status = 'active' and new.client_id is not null then
    perform private.tell(new.coach_id, 'invitation_accepted', '/clients/' || new.id, about, client_name);
  elsif tg_op = 'UPDATE' and new.status = 'ended' and old.status <> 'ended' and new.metadata ? 'ended_by_client' then
    perform private.tell(
      new.coach_id, case old.status when 'invited' then 'invitation_declined' else 'client_left' end,
      '/clients/' || new.id, about, client_name
    );
  end if;
  return null;
end;
$$;
comment on function private.coach_clients_tell() is
  'security definer: nobody may insert notifications. Trigger: tells the invited of a coach''s invitation, and the coach of the answer.';
revoke execute on function private.coach_clients_tell() from public, anon, authenticated, service_role;

drop trigger if exists coach_clients_tell on public.coach_clients;
create trigger coach_clients_tell after insert or update of status, invited_at on public.coach_clients
for each row execute function private.coach_clients_tell();
