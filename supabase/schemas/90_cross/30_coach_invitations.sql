create or replace function private.my_verified_email()
returns text
language sql
stable
security definer
set search_path = ''
as $$
  select lower(u.email)
  from public.users as u
  where u.id = private.me()
    and (
      exists (select from private.credentials as c where c.user_id = u.id and c.email_verified_at is not null)
      or exists (
        select from auth.users as a
        where a.id = u.id and a.email_confirmed_at is not null and lower(a.email) = lower(u.email)
      )
    )
$$;
comment on function private.my_verified_email() is
  'security definer: reads credentials. The active user''s address in lower case, if proven by either issuer.';
revoke execute on function private.my_verified_email() from public, anon, authenticated, service_role;
grant execute on function private.my_verified_email() to authenticated, service_role;

drop policy if exists coach_clients_select_invited on public.coach_clients;
create policy coach_clients_select_invited on public.coach_clients for select to authenticated
using (client_id is null and status = 'invited' and lower(email) = (select private.my_verified_email()));
comment on policy coach_clients_select_invited on public.coach_clients is 'Whoever has proven the address reads the invitation sent to it.';

create or replace function public.answer_coach_invitation(p_id uuid, p_answer text)
returns void
language plpgsql
security definer
set search_path = ''
as $$
declare
  person uuid := private.me();
  invitation public.coach_clients%rowtype;
begin
  select * into invitation
  from public.coach_clients as c
  where c.id = p_id and c.status = 'invited'
    and (c.client_id = person or (c.client_id is null and lower(c.email) = private.my_verified_email()))
  for update;
  if invitation.id is null or person is null or invitation.coach_id = person then
    perform private.fail(404, 'not_found', 'There is no such thing, or it is not yours.');
  end if;
  if p_answer = 'decline' then
    update public.coach_clients set status = 'ended', metadata = metadata || '{"ended_by_client": true}' where id = p_id;
    return;
  elsif p_answer is distinct from 'accept' then
    perform private.fail(422, 'answer_invalid', 'An answer is accept or decline.');
  end if;
  if exists (
    select from public.coach_clients as c where c.coach_id = invitation.coach_id and c.client_id = person and c.id <> p_id
  ) then
    update public.coach_clients
    set status = 'active', accepted_at = now(), metadata = metadata - 'ended_by_client'
    where coach_id = invitation.coach_id and client_id = person;
    delete from public.coach_clients where id = p_id;
    return;
  end if;
  update public.coach_clients
  set client_id = person, status = 'active', accepted_at = now(), metadata = metadata - 'ended_by_client'
  where id = p_id;
end;
$$;
comment on function public.answer_coach_invitation(uuid, text) is
  'security definer: clients hold no update on the relation. The invited person, by account or proven address, answers accept or decline.';
revoke execute on function public.answer_coach_invitation(uuid, text) from public, anon, authenticated, service_role;
grant execute on function public.answer_coach_invitation(uuid, text) to authenticated;

create or replace function public.leave_coach(p_id uuid)
returns void
language plpgsql
security definer
set search_path = ''
as $$
begin
  update public.coach_clients
  set status = 'ended', metadata = metadata || '{"ended_by_client": true}'
  where id = p_id and client_id = private.me() and status <> 'ended';
  if not found then
    perform private.fail(404, 'not_found', 'There is no such thing, or it is not yours.');
  end if;
end;
$$;
comment on function public.leave_coach(uuid) is
  'security definer: clients hold no update on the relation. A client ends the relation with a coach.';
revoke execute on function public.leave_coach(uuid) from public, anon, authenticated, service_role;
grant execute on function public.leave_coach(uuid) to authenticated;
