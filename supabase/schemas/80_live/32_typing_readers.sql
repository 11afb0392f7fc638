create or replace function private.typing_readers(p_conversation_ids uuid[], p_user_ids uuid[])
returns table (conversation_id uuid, user_id uuid, readers bytea)
language sql
stable
security definer
set search_path = ''
as $$
  select said.conversation_id, said.user_id, string_agg(uuid_send(r.user_id), '')
  from (select distinct * from unnest(p_conversation_ids, p_user_ids)) as said (conversation_id, user_id)
  join public.conversation_participants as p
    on p.conversation_id = said.conversation_id and p.user_id = said.user_id and p.left_at is null
  join private.conversation_readers as r on r.conversation_id = said.conversation_id and r.user_id <> said.user_id
  group by said.conversation_id, said.user_id
$$;
comment on function private.typing_readers(uuid[], uuid[]) is
  'security definer: reads the people of conversations for everybody at once. Who may know that somebody is writing: nobody, once that person has left.';
revoke execute on function private.typing_readers(uuid[], uuid[]) from public, anon, authenticated, service_role;
grant execute on function private.typing_readers(uuid[], uuid[]) to service_role;
