-- walks public.conversations, once
-- A conversation is about a session when every message in it names that one, and it is the talk of its coach and client. Having no
-- context says the same as a general one, so the others get none.
insert into public.conversation_contexts (conversation_id, context_type, session_id)
select named.conversation_id, 'session', s.id
from (
  select m.conversation_id, min(lower(coalesce(m.metadata ->> 'session_id', m.metadata ->> 'sessionId'))) as link
  from public.messages as m
  where /*within m.conversation_id*/ true
  group by m.conversation_id
  having count(*) = count(coalesce(m.metadata ->> 'session_id', m.metadata ->> 'sessionId'))
    and count(distinct lower(coalesce(m.metadata ->> 'session_id', m.metadata ->> 'sessionId'))) = 1
) as named
join public.sessions as s
  on s.id = case when named.link ~ '^[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}$' then named.link::uuid end
join public.conversations as c on c.id = named.conversation_id and c.type = 'direct'
where s.client_id is not null
  and (
    select array_agg(p.user_id order by p.user_id) from public.conversation_participants as p where p.conversation_id = c.id
  ) = array[least(s.coach_id, s.client_id), greatest(s.coach_id, s.client_id)]
on conflict (conversation_id) do nothing
