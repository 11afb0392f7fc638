create or replace function public.conversation_people(p_conversation_id uuid)
returns table (
  user_id uuid,
  display_name text,
  role text,
  is_current boolean,
  joined_at timestamptz,
  last_read_seq bigint
)
language plpgsql
stable
security definer
set search_path = ''
as $$
declare
  v_me uuid := private.me();
  v_hidden uuid[] := private.hidden_reader_ids();
begin
  if not coalesce(p_conversation_id = any (private.my_readable_conversation_ids()), false) then
    perform private.fail(404, 'not_found', 'Not found.');
  end if;
  return query
  select
    p.user_id,
    nullif(btrim(concat_ws(' ', u.first_name, u.last_name)), ''),
    coalesce(p.role, 'member'),
    p.left_at is null,
    p.joined_at,
    case when p.user_id = v_me or p.user_id <> all (v_hidden) then p.last_read_seq end
  from public.conversation_participants as p
  join public.users as u on u.id = p.user_id
  where p.conversation_id = p_conversation_id
  order by p.joined_at, p.user_id;
end;
$$;
comment on function public.conversation_people(uuid) is
  'security definer: gives names of people whose profiles the caller may not read. Who is or was in a conversation of the caller: names only, never addresses.';
revoke execute on function public.conversation_people(uuid) from public, anon, authenticated, service_role;
grant execute on function public.conversation_people(uuid) to authenticated;
