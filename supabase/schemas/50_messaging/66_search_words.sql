-- How words are made comparable: one normal spelling, and of each word the forms under which it is found. Everything here is
-- immutable, since indexes on messages are built of it; a change of what these functions give needs those indexes built anew.
-- Those that run whenever a message is written are in plpgsql, whose plans stay with the connection.

create or replace function private.search_text(p_text text)
returns text
language plpgsql
immutable
security invoker
set search_path = ''
as $$
begin
  -- Decomposed, so that points (niqqud, accents, cantillation) come off; final letters are the letters that they are; the maqaf
  -- joins two words and is no part of either. Marks of direction and zero-width characters are nothing.
  return lower(translate(
    regexp_replace(
      translate(normalize(left(p_text, 20000), nfkd), U&'\05BE', ' '),
      '[\u0300-\u036F\u0591-\u05C7\u200B-\u200F\u202A-\u202E\u2060-\u2069\uFEFF\u00AD]', '', 'g'),
    'ךםןףץ', 'כמנפצ'));
end;
$$;
comment on function private.search_text(text) is
  'A text in the one spelling that search compares: without niqqud and accents, final letters folded, lower case. The first 20,000 characters.';
revoke execute on function private.search_text(text) from public, anon, authenticated, service_role;
grant execute on function private.search_text(text) to authenticated, service_role;

create or replace function private.search_separators()
returns text
language plpgsql
immutable
security invoker
set search_path = ''
as $$
begin
  -- Named one by one: what a class such as [:alnum:] holds depends on the locale of the database. Quotes and the Hebrew geresh
  -- separate too, so that a quoted word is found.
  return '[\s\u0001-/:-@\[-`{-\u00BF\u00D7\u00F7\u05BE\u05C0\u05C3\u05C6\u05F3\u05F4\u2000-\u200A\u2010-\u2029\u202F-\u205F\u2190-\u27BF\u3000-\u3003]+';
end;
$$;
comment on function private.search_separators() is 'What lies between two words, as a regular expression.';
revoke execute on function private.search_separators() from public, anon, authenticated, service_role;
grant execute on function private.search_separators() to authenticated, service_role;

create or replace function private.hebrew_stem(p_word text)
returns text
language plpgsql
immutable
security invoker
set search_path = ''
as $$
begin
  -- The ending of number and gender goes where three letters stay. A mark keeps stems apart from words.
  return '~' || case when char_length(p_word) >= 4 then regexp_replace(p_word, '(?<=...)(ימ|ות|ה|ת|י)$', '') else p_word end;
end;
$$;
comment on function private.hebrew_stem(text) is 'A Hebrew word without its ending, marked as a stem.';
revoke execute on function private.hebrew_stem(text) from public, anon, authenticated, service_role;
grant execute on function private.hebrew_stem(text) to authenticated, service_role;

create or replace function private.word_forms(p_word text, p_peeled text)
returns text[]
language plpgsql
immutable
security invoker
set search_path = ''
as $$
begin
  -- Of a Hebrew word: itself and its stem, the same for what is left when letters that stand for "and, the, in, to, as, from,
  -- that" are taken off its front, at most as p_peeled says. Of others, what English makes of it; a stop word is itself.
  return case
    when p_word ~ '^[א-ת]' then array(
      select distinct form
      from generate_series(0, 4) as n
      cross join lateral unnest(array[substr(p_word, n + 1), private.hebrew_stem(substr(p_word, n + 1))]) as form
      where n = 0 or (char_length(p_word) - n >= 3 and left(p_word, n) ~ p_peeled)
    )
    else coalesce(nullif(ts_lexize('pg_catalog.english_stem', p_word), '{}'), array[p_word])
  end;
end;
$$;
comment on function private.word_forms(text, text) is 'Under which forms a normalised word is kept, or looked for.';
revoke execute on function private.word_forms(text, text) from public, anon, authenticated, service_role;
grant execute on function private.word_forms(text, text) to authenticated, service_role;

create or replace function private.search_words(p_text text)
returns text[]
language plpgsql
immutable
security invoker
set search_path = ''
as $$
begin
  return array(
    select w.word
    from (
      select left(word, 64) as word, min(place) as place
      from regexp_split_to_table(private.search_text(p_text), private.search_separators()) with ordinality as t (word, place)
      where word <> ''
      group by 1
    ) as w
    order by w.place
  );
end;
$$;
comment on function private.search_words(text) is 'The different words of a text in their normal spelling, in their order.';
revoke execute on function private.search_words(text) from public, anon, authenticated, service_role;
grant execute on function private.search_words(text) to authenticated, service_role;

create or replace function private.search_vector(p_text text)
returns tsvector
language plpgsql
immutable
security invoker
set search_path = ''
as $$
begin
  -- What private.word_forms says of words that are not Hebrew is said here: calling it for each word would take half of the time.
  return array_to_tsvector(array(
    select distinct form
    from unnest(private.search_words(p_text)) as word
    cross join lateral unnest(array[word] || case
      when word ~ '^[א-ת]' then private.word_forms(word, '^[והבלכמש]+$')
      else ts_lexize('pg_catalog.english_stem', word)
    end) as form
  ));
end;
$$;
comment on function private.search_vector(text) is 'All forms under which the words of a text are found.';
revoke execute on function private.search_vector(text) from public, anon, authenticated, service_role;
grant execute on function private.search_vector(text) to authenticated, service_role;

create or replace function private.search_query(p_words text[], p_any boolean default false)
returns tsquery
language sql
immutable
security invoker
set search_path = ''
as $$
  -- Words hold no quotes and no backslashes: those separate. Of a word that is looked for, only "and" and "the" come off, alone or
  -- behind a preposition; whoever looks for a word that begins with another letter means that letter. The last may go on.
  select string_agg(
    format('(%s)', (
      select string_agg(quote_literal(form), ' | ')
      from unnest(array[w.word] || private.word_forms(w.word, '^(ו|ו?(כש|ש|מ|ל|ב|כ)?ה)$')) as form
    ) || case when not p_any and w.place = cardinality(p_words) and char_length(w.word) >= 2 then format(' | %L:*', w.word) else '' end),
    case when p_any then ' | ' else ' & ' end
  )::tsquery
  from unnest(p_words) with ordinality as w (word, place)
$$;
comment on function private.search_query(text[], boolean) is
  'What finds texts with all of the words (any of them: p_any), the last of which may be the beginning of one.';
revoke execute on function private.search_query(text[], boolean) from public, anon, authenticated, service_role;
grant execute on function private.search_query(text[], boolean) to authenticated, service_role;

create or replace function private.search_letters(p_text text)
returns text
language plpgsql
immutable
security invoker
set search_path = ''
as $$
begin
  -- pg_trgm sees no Hebrew in a database whose locale is C, as the embedded one's is: each letter gets a Latin one.
  return translate(private.search_text(p_text), 'אבגדהוזחטיכלמנסעפצקרשת', 'abgdhvzxtyklmnsefcqrwj');
end;
$$;
comment on function private.search_letters(text) is 'A text as trigrams are made of it: Hebrew letter by letter in Latin ones.';
revoke execute on function private.search_letters(text) from public, anon, authenticated, service_role;
grant execute on function private.search_letters(text) to authenticated, service_role;

create index if not exists messages_search_idx on public.messages using gin (private.search_vector(content)) where content is not null;
create index if not exists messages_typos_idx
  on public.messages using gin (private.search_letters(content) extensions.gin_trgm_ops) where content is not null;
