create or replace function private.refuse_user_with_messages()
returns trigger
language plpgsql
security definer
set search_path = ''
as $$
begin
  -- The old foreign keys cascade: without this, what one person wrote would vanish from everybody else's conversations.
  if exists (select from public.messages as m where m.sender_id = old.id)
    or exists (select from public.conversations as c where c.created_by = old.id and c.last_seq > 0) then
    perform private.fail(
      409, 'user_has_history', 'This person has messages that others rely on.',
      'Deactivate the account or make it anonymous instead.');
  end if;
  return old;
end;
$$;
comment on function private.refuse_user_with_messages() is
  'security definer: reads messages whoever deletes. Trigger: a person with messages is deactivated, not deleted.';
revoke execute on function private.refuse_user_with_messages() from public, anon, authenticated, service_role;

drop trigger if exists users_keep_messages on public.users;
create trigger users_keep_messages before delete on public.users
for each row execute function private.refuse_user_with_messages();
