create or replace function public.unread_json()
returns json
language sql
stable
security definer
set search_path = ''
as $$
  -- By subtraction: what it costs depends on how many conversations somebody has, never on how much was said in them.
  select json_build_object(
    'unread', coalesce(sum(n.unread) filter (where not n.is_muted), 0),
    'unread_muted', coalesce(sum(n.unread) filter (where n.is_muted), 0),
    'conversations', count(*) filter (where n.unread > 0),
    'items', coalesce(
      json_agg(json_build_object('conversation_id', n.conversation_id, 'unread', n.unread, 'is_muted', n.is_muted)
        order by n.last_message_at desc, n.conversation_id) filter (where n.unread > 0),
      '[]'))
  from (
    select
      p.conversation_id, p.is_muted, c.last_message_at, greatest(c.last_seq - p.last_read_seq - p.own_after_read, 0) as unread
    from public.conversation_participants as p
    join public.conversations as c on c.id = p.conversation_id
    where p.user_id = (select private.me()) and p.left_at is null
  ) as n
$$;
comment on function public.unread_json() is
  'security definer: one look at the caller''s seats instead of a policy on each. How much the caller has not read, in all and per conversation.';
revoke execute on function public.unread_json() from public, anon, authenticated, service_role;
grant execute on function public.unread_json() to authenticated;
