-- Two who looked for their conversation at the same moment made two. It finds the one that Loom's key names, else an older one, and
-- makes it under the key.
do $$
declare
  found record;
begin
  for found in
    select p.proname, pg_get_function_arguments(p.oid) as arguments
    from pg_proc as p
    where p.pronamespace = 'public'::regnamespace and p.proname = 'get_or_create_direct_conversation' and p.prokind = 'f'
      and string_to_array(p.proargtypes::text, ' ')::oid[] = array['uuid', 'uuid']::regtype[]::oid[]
      and p.prorettype = 'uuid'::regtype and not p.proretset and pg_has_role(current_user, p.proowner, 'member')
  loop
    execute format(
      $sql$
        create or replace function public.%I(%s) returns uuid language plpgsql security invoker set search_path = '' as $f$
        declare
          pair constant text := least($1, $2)::text || ':' || greatest($1, $2)::text;
          talk uuid;
        begin
          select c.id into talk from public.conversations as c where c.direct_key = pair;
          if talk is null then
            select c.id into talk
            from public.conversations as c
            join public.conversation_participants as a on a.conversation_id = c.id and a.user_id = $1
            join public.conversation_participants as b on b.conversation_id = c.id and b.user_id = $2
            where c.type = 'direct' and c.direct_key is null
            order by c.last_message_at desc nulls last, c.id
            limit 1;
          end if;
          if talk is null then
            insert into public.conversations (type, created_by, direct_key) values ('direct', $1, pair)
            on conflict (direct_key) do nothing
            returning id into talk;
            if talk is null then
              select c.id into strict talk from public.conversations as c where c.direct_key = pair;
            else
              insert into public.conversation_participants (conversation_id, user_id) values (talk, $1), (talk, $2);
            end if;
          end if;
          return talk;
        end
        $f$
      $sql$,
      found.proname, found.arguments);
  end loop;
end;
$$;
