create or replace function private.refuse_user_with_history()
returns trigger
language plpgsql
security definer
set search_path = ''
as $$
begin
  -- The foreign keys of the oldest tables cascade: without this, a deleted account would take other people's sessions along.
  if exists (select from public.sessions as s where s.coach_id = old.id or s.client_id = old.id)
    or exists (select from public.session_attendees as a where a.user_id = old.id)
    or exists (select from public.invoices as i where i.user_id = old.id or i.coach_id = old.id)
    or exists (select from public.payments as p where p.user_id = old.id)
    or exists (select from public.payment_intents as i where i.user_id = old.id) then
    perform private.fail(
      409, 'user_has_history', 'This person has sessions or money that others rely on.',
      'Deactivate the account or make it anonymous instead.');
  end if;
  return old;
end;
$$;
comment on function private.refuse_user_with_history() is
  'security definer: reads sessions and money whoever deletes. Trigger: a person with either is deactivated or made anonymous, not deleted.';
revoke execute on function private.refuse_user_with_history() from public, anon, authenticated, service_role;

drop trigger if exists users_keep_history on public.users;
create trigger users_keep_history before delete on public.users
for each row execute function private.refuse_user_with_history();

create or replace function public.anonymise_user(p_user_id uuid, p_reason text default null)
returns void
language plpgsql
security definer
set search_path = ''
as $$
declare
  person public.users%rowtype;
  nowhere text := p_user_id || '@anonymous.invalid';
begin
  if private.acting_as_api() and not private.i_am_admin() then
    perform private.fail(404, 'not_found', 'There is no such thing, or it is not yours.');
  end if;
  select * into person from public.users as u where u.id = p_user_id;
  if not found then
    perform private.fail(404, 'not_found', 'There is no such thing, or it is not yours.');
  end if;
  if person.role = 'admin' and person.status = 'active' then
    perform private.keep_an_admin(p_user_id);
  end if;
  update public.users
  set email = nowhere, first_name = null, last_name = null, phone = null, avatar_url = null, status = 'inactive',
      last_seen_at = null, mfa_enabled = false, mfa_secret = null, mfa_backup_codes = null
  where id = p_user_id;
  delete from private.credentials where user_id = p_user_id;
  delete from private.auth_sessions where user_id = p_user_id;
  delete from private.one_time_tokens where user_id = p_user_id;
  delete from public.push_subscriptions where user_id = p_user_id;
  delete from public.notifications where user_id = p_user_id;
  update public.coach_clients
  set email = null, display_name = null, phone = null, status = 'ended'
  where client_id = p_user_id;
  update public.session_attendees set email = null, display_name = null where user_id = p_user_id;
  update auth.users set email = nowhere, raw_user_meta_data = '{}' where id = p_user_id;
  -- Who it was must not stand in the trail either.
  insert into private.identity_events (user_id, actor_id, event, details)
  values (p_user_id, private.me(), 'anonymised', jsonb_strip_nulls(jsonb_build_object('reason', p_reason)));
end;
$$;
comment on function public.anonymise_user(uuid, text) is
  'security definer: nobody may write other people''s rows. An admin, or the service role, takes name, address and sign-in of a person away; sessions, messages and documents stay.';
revoke execute on function public.anonymise_user(uuid, text) from public, anon, authenticated, service_role;
grant execute on function public.anonymise_user(uuid, text) to authenticated, service_role;
