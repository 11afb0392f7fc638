create or replace function public.conversation_timeline_json(
  p_conversation_id uuid,
  p_before_seq bigint default null,
  p_limit integer default 50,
  p_after_seq bigint default null
)
returns json
language plpgsql
stable
security invoker
set search_path = ''
as $$
declare
  v_me uuid := private.me();
  v_limit integer := least(greatest(coalesce(p_limit, 50), 1), 200);
  v_answer json;
begin
  if not coalesce(p_conversation_id = any (private.my_readable_conversation_ids()), false) then
    perform private.fail(404, 'not_found', 'Not found.');
  end if;
  with fetched as materialized (
    select * from (
      select m.*
      from public.messages as m
      where p_after_seq is null and m.conversation_id = p_conversation_id and m.seq < coalesce(p_before_seq, 9223372036854775807)
      order by m.seq desc
      limit v_limit + 1
    ) as older
    union all
    select * from (
      select m.*
      from public.messages as m
      where p_after_seq is not null and m.conversation_id = p_conversation_id and m.seq > p_after_seq
      order by m.seq
      limit v_limit + 1
    ) as newer
  ),
  page as materialized (
    select f.* from fetched as f
    order by case when p_after_seq is null then -f.seq else f.seq end
    limit v_limit
  ),
  bounds as materialized (
    select min(g.seq) as low, max(g.seq) as high, (select count(*) from fetched) > v_limit as more from page as g
  ),
  people as materialized (
    select * from public.conversation_people(p_conversation_id)
  ),
  reactions as (
    select e.message_id, json_agg(json_build_object('emoji', e.emoji, 'count', e.n, 'mine', e.mine) order by e.first_at, e.emoji) as items
    from (
      select r.message_id, r.emoji, count(*) as n, bool_or(r.user_id = v_me) as mine, min(r.created_at) as first_at
      from public.message_reactions as r
      where r.conversation_id = p_conversation_id
        and r.message_seq between (select b.low from bounds as b) and (select b.high from bounds as b)
      group by r.message_id, r.emoji
    ) as e
    group by e.message_id
  ),
  mentions as (
    select x.message_id, json_agg(x.mentioned_user_id order by x.mentioned_user_id) as items
    from public.message_mentions as x
    where x.conversation_id = p_conversation_id
      and x.message_seq between (select b.low from bounds as b) and (select b.high from bounds as b)
    group by x.message_id
  ),
  deliveries as (
    select s.message_id, json_object_agg(s.channel, s.status order by s.channel) as items
    from public.message_delivery_states as s
    where s.conversation_id = p_conversation_id
      and s.message_seq between (select b.low from bounds as b) and (select b.high from bounds as b)
      and s.sender_id = v_me
    group by s.message_id
  )
  select json_build_object(
    'items', coalesce(
      (
        select json_agg(
          json_build_object(
            'id', g.id, 'conversation_id', g.conversation_id, 'seq', g.seq, 'type', g.type,
            'sender_id', g.sender_id, 'sender_name', who.display_name,
            'content', g.content, 'reply_to_id', g.reply_to_id, 'client_message_id', case when g.sender_id = v_me then g.client_message_id end,
            'is_edited', g.is_edited, 'edited_at', g.edited_at, 'deleted_at', g.deleted_at, 'created_at', g.created_at,
            'is_read', g.sender_id = v_me or g.seq <= coalesce((select p.last_read_seq from people as p where p.user_id = v_me), 0),
            'mentions', coalesce(x.items, '[]'), 'reactions', coalesce(r.items, '[]'), 'deliveries', d.items
          )
          order by case when p_after_seq is null then -g.seq else g.seq end)
        from page as g
        left join people as who on who.user_id = g.sender_id
        left join reactions as r on r.message_id = g.id
        left join mentions as x on x.message_id = g.id
        left join deliveries as d on d.message_id = g.id
      ),
      '[]'),
    'next_cursor', (
      select case when b.more then (case when p_after_seq is null then b.low else b.high end)::text end from bounds as b
    ),
    'last_seq', (select c.last_seq from public.conversations as c where c.id = p_conversation_id),
    'last_read_seq', (select p.last_read_seq from people as p where p.user_id = v_me and p.is_current),
    'read_by', coalesce(
      (
        select json_agg(json_build_object('user_id', p.user_id, 'last_read_seq', p.last_read_seq) order by p.user_id)
        from people as p
        where p.is_current and p.user_id <> v_me
      ),
      '[]')
  ) into v_answer;
  return v_answer;
end;
$$;
comment on function public.conversation_timeline_json(uuid, bigint, integer, bigint) is
  'A page of a conversation, read under the caller''s policies: newest first and before a seq, or oldest first and after one.';
revoke execute on function public.conversation_timeline_json(uuid, bigint, integer, bigint) from public, anon, authenticated, service_role;
grant execute on function public.conversation_timeline_json(uuid, bigint, integer, bigint) to authenticated;
