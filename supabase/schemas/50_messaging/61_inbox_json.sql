create or replace function public.inbox_json(p_cursor text default null, p_limit integer default 50, p_archived boolean default false)
returns json
language plpgsql
stable
security definer
set search_path = ''
as $$
declare
  v_me uuid := private.me();
  v_limit integer := least(greatest(coalesce(p_limit, 50), 1), 200);
  v_before timestamptz := 'infinity';
  v_before_id uuid;
  v_answer json;
begin
  if p_cursor is not null then
    if p_cursor !~ '^[0-9]{1,17}\.[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}$' then
      perform private.fail(422, 'invalid_cursor', 'The cursor is not one that this list has given.');
    end if;
    v_before := timestamptz 'epoch' + split_part(p_cursor, '.', 1)::bigint * interval '1 microsecond';
    v_before_id := split_part(p_cursor, '.', 2)::uuid;
  end if;
  with fetched as materialized (
    select
      c.id, c.type, c.title, c.last_seq, p.last_read_seq, p.own_after_read, p.history_from_seq, p.is_muted, p.is_archived, p.role,
      coalesce(c.last_message_at, c.created_at) as moved_at
    from public.conversation_participants as p
    join public.conversations as c on c.id = p.conversation_id
    where p.user_id = v_me and p.left_at is null and p.is_archived = p_archived
      and (coalesce(c.last_message_at, c.created_at), c.id) < (v_before, coalesce(v_before_id, 'ffffffff-ffff-ffff-ffff-ffffffffffff'))
    order by moved_at desc, c.id desc
    limit v_limit + 1
  ),
  page as materialized (
    select * from fetched as f order by f.moved_at desc, f.id desc limit v_limit
  )
  select json_build_object(
    'items', coalesce(
      (
        select json_agg(
          json_build_object(
            'id', g.id, 'type', g.type, 'title', g.title, 'role', coalesce(g.role, 'member'),
            'is_muted', g.is_muted, 'is_archived', g.is_archived,
            'context', json_build_object('type', coalesce(x.context_type, 'general'), 'session_id', x.session_id, 'program', x.metadata ->> 'program'),
            'people', coalesce(others.items, '[]'),
            'last_seq', g.last_seq, 'last_read_seq', g.last_read_seq,
            'unread', greatest(g.last_seq - g.last_read_seq - g.own_after_read, 0),
            'last_message_at', g.moved_at, 'last_message', newest.item
          )
          order by g.moved_at desc, g.id desc)
        from page as g
        left join public.conversation_contexts as x on x.conversation_id = g.id
        left join lateral (
          select json_agg(
            json_build_object('user_id', o.user_id, 'display_name', nullif(btrim(concat_ws(' ', u.first_name, u.last_name)), ''))
            order by o.joined_at, o.user_id) as items
          from (
            select q.user_id, q.joined_at
            from public.conversation_participants as q
            where q.conversation_id = g.id and q.left_at is null and q.user_id <> v_me
            order by q.joined_at, q.user_id
            limit 5
          ) as o
          join public.users as u on u.id = o.user_id
        ) as others on true
        left join lateral (
          select json_build_object(
            'seq', m.seq, 'sender_id', m.sender_id, 'preview', case
              when m.type = 'system' and m.content is null and m.deleted_at is null then private.system_text(m.metadata, v_me)
              else left(m.content, 140)
            end, 'deleted_at', m.deleted_at, 'created_at', m.created_at
          ) as item
          from public.messages as m
          where m.conversation_id = g.id and m.seq = g.last_seq and m.seq >= g.history_from_seq
        ) as newest on true
      ),
      '[]'),
    'next_cursor', (
      select case
        when (select count(*) from fetched) > v_limit
          then (extract(epoch from g.moved_at) * 1000000)::bigint::text || '.' || g.id::text
      end
      from page as g
      order by g.moved_at, g.id
      limit 1
    )
  ) into v_answer;
  return v_answer;
end;
$$;
comment on function public.inbox_json(text, integer, boolean) is
  'security definer: shows names of people whose profiles the caller may not read. The caller''s own conversations, newest first, with unread counts by subtraction.';
revoke execute on function public.inbox_json(text, integer, boolean) from public, anon, authenticated, service_role;
grant execute on function public.inbox_json(text, integer, boolean) to authenticated;
