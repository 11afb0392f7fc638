create or replace function public.conversation_timeline_json(
  p_conversation_id uuid,
  p_before_seq bigint default null,
  p_limit integer default 50,
  p_after_seq bigint default null,
  p_around_seq bigint default null
)
returns json
language plpgsql
stable
security definer
set search_path = ''
-- Planning anew for each caller would cost more than the reading.
set plan_cache_mode = 'force_generic_plan'
as $$
declare
  v_me uuid := private.me();
  v_limit integer := least(greatest(coalesce(p_limit, 50), 1), 200);
  v_read bigint;
  v_first bigint;
  v_last bigint;
  v_low bigint;
  v_high bigint;
  v_more boolean;
  v_hidden uuid[] := private.hidden_reader_ids();
  v_unread bigint;
begin
  select p.last_read_seq, p.history_from_seq into v_read, v_first
  from public.conversation_participants as p
  where p.conversation_id = p_conversation_id and p.user_id = v_me and p.left_at is null;
  if not found and not private.i_am_admin() then
    perform private.fail(404, 'not_found', 'Not found.');
  end if;
  select c.last_seq into v_last from public.conversations as c where c.id = p_conversation_id;
  if not found then
    perform private.fail(404, 'not_found', 'Not found.');
  end if;

  -- Numbers are dense, so a page is a range: as cheap in a conversation of a million as in one of fifty. Where the service has
  -- purged messages, a page holds fewer.
  v_first := coalesce(v_first, 1);
  if v_read < v_last then
    select m.seq into v_unread
    from public.messages as m
    where m.conversation_id = p_conversation_id and m.seq > v_read and m.seq >= v_first
      and m.sender_id <> v_me and m.deleted_at is null
    order by m.seq
    limit 1;
  end if;
  if p_around_seq is not null and p_after_seq is null then
    -- As many before it as after it; at an end of the conversation the page reaches further the other way. 0: what is unread.
    v_high := least(v_last, greatest(least(case p_around_seq when 0 then coalesce(v_unread, v_last) else p_around_seq end, v_last) - 1 + (v_limit + 1) / 2, v_first - 1 + v_limit));
    v_low := greatest(v_first, v_high - v_limit + 1);
    v_more := v_low > v_first and v_high >= v_low;
  elsif p_after_seq is null then
    v_high := least(v_last, coalesce(p_before_seq, v_last + 1) - 1);
    v_low := greatest(v_first, v_high - v_limit + 1);
    v_more := v_low > v_first and v_high >= v_low;
  else
    v_low := greatest(v_first, least(p_after_seq, v_last) + 1);
    v_high := least(v_last, v_low + v_limit - 1);
    v_more := v_high < v_last;
  end if;

  return (
    with people as materialized (
      select p.user_id, p.last_read_seq, p.left_at is null as is_current,
        nullif(btrim(concat_ws(' ', u.first_name, u.last_name)), '') as display_name
      from public.conversation_participants as p
      join public.users as u on u.id = p.user_id
      where p.conversation_id = p_conversation_id
    ),
    reactions as (
      select e.message_id, json_agg(json_build_object('emoji', e.emoji, 'count', e.n, 'mine', e.mine) order by e.first_at, e.emoji) as items
      from (
        select r.message_id, r.emoji, count(*) as n, bool_or(r.user_id = v_me) as mine, min(r.created_at) as first_at
        from public.message_reactions as r
        where r.conversation_id = p_conversation_id and r.message_seq between v_low and v_high
        group by r.message_id, r.emoji
      ) as e
      group by e.message_id
    ),
    mentions as (
      select x.message_id, json_agg(x.mentioned_user_id order by x.mentioned_user_id) as items
      from public.message_mentions as x
      where x.conversation_id = p_conversation_id and x.message_seq between v_low and v_high
      group by x.message_id
    ),
    files as (
      select
        f.message_id,
        json_agg(
          json_build_object(
            'id', f.id, 'file_name', f.file_name, 'file_size', f.file_size, 'file_type', f.file_type, 'kind', f.attachment_type)
          order by f.created_at, f.id) as items
      from public.message_attachments as f
      where f.conversation_id = p_conversation_id and f.message_seq between v_low and v_high
      group by f.message_id
    ),
    deliveries as (
      select s.message_id, json_object_agg(s.channel, s.status order by s.channel) as items
      from public.message_delivery_states as s
      where s.conversation_id = p_conversation_id and s.message_seq between v_low and v_high and s.sender_id = v_me
      group by s.message_id
    ),
    items as (
      select
        m.id, m.conversation_id, m.seq, m.type, m.sender_id, who.display_name as sender_name,
        case
          when m.type = 'system' and m.content is null and m.deleted_at is null then private.system_text(m.metadata, v_me)
          else m.content
        end as content,
        null::text as html, case when m.type = 'system' and m.deleted_at is null then m.metadata end as system,
        m.reply_to_id,
        case when m.sender_id = v_me then m.client_message_id end as client_message_id,
        m.is_edited, m.edited_at, m.deleted_at, m.created_at,
        (m.sender_id = v_me or m.seq <= coalesce(v_read, 0)) as is_read,
        coalesce(x.items, '[]') as mentions, coalesce(r.items, '[]') as reactions,
        coalesce(f.items, '[]') as attachments, d.items as deliveries
      from public.messages as m
      left join people as who on who.user_id = m.sender_id
      left join reactions as r on r.message_id = m.id
      left join mentions as x on x.message_id = m.id
      left join files as f on f.message_id = m.id
      left join deliveries as d on d.message_id = m.id
      where m.conversation_id = p_conversation_id and m.seq between v_low and v_high
    )
    select json_build_object(
      'items', coalesce(
        (select json_agg(i order by case when p_after_seq is null then -i.seq else i.seq end) from items as i), '[]'),
      'next_cursor', case when v_more then (case when p_after_seq is null then v_low else v_high end)::text end,
      'newer_cursor', case when p_around_seq is not null and p_after_seq is null and v_high < v_last then v_high::text end,
      'last_seq', v_last,
      'last_read_seq', v_read,
      'first_unread_seq', v_unread,
      'read_by', coalesce(
        (
          select json_agg(json_build_object('user_id', p.user_id, 'last_read_seq', p.last_read_seq) order by p.user_id)
          from people as p
          where p.is_current and p.user_id <> v_me and p.user_id <> all (v_hidden)
        ),
        '[]')
    )
  );
end;
$$;
comment on function public.conversation_timeline_json(uuid, bigint, integer, bigint, bigint) is
  'security definer: names senders whose profiles the caller may not read, and asks once instead of in six policies. A page of a conversation of the caller: newest first and before a seq, or around one (0: the first unread); or oldest first and after one.';
revoke execute on function public.conversation_timeline_json(uuid, bigint, integer, bigint, bigint) from public, anon, authenticated, service_role;
grant execute on function public.conversation_timeline_json(uuid, bigint, integer, bigint, bigint) to authenticated;
