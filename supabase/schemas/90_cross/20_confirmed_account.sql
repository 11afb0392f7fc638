create or replace function private.handle_changed_account()
returns trigger
language plpgsql
security definer
set search_path = ''
as $$
begin
  -- Supabase moves an account to a new address only once that is confirmed; the profile follows. An address that another
  -- profile holds stays theirs.
  if new.email is not null and new.email is distinct from old.email then
    if exists (select from public.users as u where lower(u.email) = lower(new.email) and u.id <> new.id) then
      insert into private.identity_events (user_id, event, details)
      select u.id, 'address_change_refused', '{}'::jsonb from public.users as u where u.id = new.id;
    else
      update public.users set email = new.email where id = new.id and email is distinct from new.email;
      if not found and not exists (select from public.users as u where u.id = new.id) then
        insert into public.users (id, email, role) values (new.id, new.email, 'client');
      end if;
    end if;
  end if;
  if new.email_confirmed_at is not null
    and (old.email_confirmed_at is null or new.email is distinct from old.email) then
    perform private.link_person(u.id) from public.users as u where u.id = new.id and lower(u.email) = lower(new.email);
  end if;
  return null;
end;
$$;
comment on function private.handle_changed_account() is
  'security definer: the sign-in service''s role may not write users. Trigger: the profile follows the account''s address, and a confirmed one ties what waits for it.';
revoke execute on function private.handle_changed_account() from public, anon, authenticated, service_role;

create or replace trigger on_auth_user_changed after update of email, email_confirmed_at on auth.users
for each row execute function private.handle_changed_account();
