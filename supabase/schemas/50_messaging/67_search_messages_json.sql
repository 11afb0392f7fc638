create or replace function private.search_snippet(p_content text, p_query tsquery, p_letters text[])
returns json
language sql
stable
security invoker
set search_path = ''
as $$
  -- As pieces of text of which some are hits: nothing to escape, and nothing that a message could pretend to be.
  with pieces as materialized (
    select
      t.place, t.piece[1] as text,
      case
        when t.piece[1] ~ private.search_separators() then false
        when p_letters is null then private.search_vector(t.piece[1]) @@ p_query
        else exists (
          select from unnest(p_letters) as l
          where extensions.word_similarity(l, private.search_letters(t.piece[1])) >= 0.29
        )
      end as hit
    from regexp_matches(left(p_content, 4000), format('%s|[^%s', private.search_separators(), substr(private.search_separators(), 2)), 'g')
      with ordinality as t (piece, place)
  ),
  window_ as (
    select greatest(coalesce(min(p.place) filter (where p.hit), 1) - 12, 1) as low from pieces as p
  )
  select coalesce(json_agg(json_build_object('text', p.text, 'hit', p.hit) order by p.place), '[]')
  from pieces as p, window_ as w
  where p.place between w.low and w.low + 50
$$;
comment on function private.search_snippet(text, tsquery, text[]) is
  'The part of a text around its first hit, in pieces that say whether they are one.';
revoke execute on function private.search_snippet(text, tsquery, text[]) from public, anon, authenticated, service_role;

-- A setting of the module's is known only once the module is loaded, which the first call of one of its functions does.
do $$
begin
  perform extensions.similarity('', '');
end
$$;

create or replace function public.search_messages_json(
  p_query text, p_conversation_id uuid default null, p_cursor text default null, p_limit integer default 20
)
returns json
language plpgsql
stable
security definer
set search_path = ''
-- Below pg_trgm's own 0.6: two letters that changed places must still find a word.
set pg_trgm.word_similarity_threshold = 0.29
as $$
declare
  v_limit constant integer := least(greatest(coalesce(p_limit, 20), 1), 50);
  v_words constant text[] := (private.search_words(left(p_query, 200)))[1:8];
  v_ids uuid[] := private.my_readable_conversation_ids();
  v_firsts constant jsonb := private.my_history_limits();
  v_query tsquery;
  v_letters text[];
  v_longest text;
  v_before timestamptz := 'infinity';
  v_before_id uuid := 'ffffffff-ffff-ffff-ffff-ffffffffffff';
  v_fuzzy boolean := coalesce(p_cursor, '') like '~%';
  v_found uuid[];
begin
  if p_conversation_id is not null then
    if not coalesce(p_conversation_id = any (v_ids), false) then
      perform private.fail(404, 'not_found', 'Not found.');
    end if;
    v_ids := array[p_conversation_id];
  end if;
  if cardinality(v_words) = 0 then
    perform private.fail(422, 'query_invalid', 'Look for at least one word.');
  end if;
  if p_cursor is not null then
    if p_cursor !~ '^~?[0-9]{1,17}\.[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}$' then
      perform private.fail(422, 'invalid_cursor', 'The cursor is not one that this list has given.');
    end if;
    v_before := timestamptz 'epoch' + split_part(ltrim(p_cursor, '~'), '.', 1)::bigint * interval '1 microsecond';
    v_before_id := split_part(p_cursor, '.', 2)::uuid;
  end if;
  v_query := private.search_query(v_words);
  if not v_fuzzy then
    v_found := array(
      select m.id
      from public.messages as m
      where m.content is not null and private.search_vector(m.content) @@ v_query
        and m.conversation_id = any (v_ids)
        and m.seq >= coalesce((v_firsts ->> m.conversation_id::text)::bigint, 1)
        and (m.created_at, m.id) < (v_before, v_before_id)
      order by m.created_at desc, m.id desc
      limit v_limit + 1);
  end if;
  -- Nothing on the first page: perhaps it was mistyped. The longest word is looked for by its trigrams, the others checked.
  v_letters := array(
    select private.search_letters(w) from unnest(v_words) as w where char_length(w) >= 3 order by char_length(w) desc, w);
  if cardinality(v_letters) > 0 and (v_fuzzy or (cardinality(v_found) = 0 and p_cursor is null)) then
    v_fuzzy := true;
    v_longest := v_letters[1];
    v_found := array(
      select m.id
      from public.messages as m
      where m.content is not null and private.search_letters(m.content) operator(extensions.%>) v_longest
        and m.conversation_id = any (v_ids)
        and m.seq >= coalesce((v_firsts ->> m.conversation_id::text)::bigint, 1)
        and (m.created_at, m.id) < (v_before, v_before_id)
        and not exists (
          select from unnest(v_letters) as l
          where extensions.word_similarity(l, private.search_letters(m.content)) < 0.29
        )
      order by m.created_at desc, m.id desc
      limit v_limit + 1);
  end if;
  return (
    with page as materialized (
      select m.id, m.conversation_id, m.seq, m.sender_id, m.content, m.created_at
      from public.messages as m
      where m.id = any (v_found[1:v_limit])
    )
    select json_build_object(
      'items', coalesce(
        json_agg(
          json_build_object(
            'message_id', g.id, 'conversation_id', g.conversation_id, 'seq', g.seq, 'sender_id', g.sender_id,
            'sender_name', private.called(g.sender_id), 'created_at', g.created_at,
            'snippet', private.search_snippet(
              g.content, private.search_query(v_words, true) || v_query, case when v_fuzzy then v_letters end))
          order by g.created_at desc, g.id desc),
        '[]'),
      'fuzzy', v_fuzzy and cardinality(v_found) > 0,
      'next_cursor', case
        when cardinality(v_found) > v_limit then (
          select concat(case when v_fuzzy then '~' end, (extract(epoch from l.created_at) * 1000000)::bigint, '.', l.id)
          from page as l
          order by l.created_at, l.id
          limit 1
        )
      end)
    from page as g
  );
end;
$$;
comment on function public.search_messages_json(text, uuid, text, integer) is
  'security definer: an index on words may not be asked before policies by a user, so membership is asked here by the arrays that the policies use. Messages the caller may read that hold all the words, newest first; where none does, those with words spelt nearly so.';
revoke execute on function public.search_messages_json(text, uuid, text, integer) from public, anon, authenticated, service_role;
grant execute on function public.search_messages_json(text, uuid, text, integer) to authenticated;
