-- walks public.conversations, once
-- What is about one session is that session's conversation of the two, unless it has another.
update public.conversations as c
set direct_key = private.pair_key(s.coach_id, s.client_id, s.id)
from public.conversation_contexts as x
join public.sessions as s on s.id = x.session_id and s.client_id is not null
where x.conversation_id = c.id and c.type = 'direct' and c.direct_key is null and /*within x.conversation_id*/ true
  and not exists (
    select from public.conversation_contexts as other where other.session_id = x.session_id and other.conversation_id <> x.conversation_id)
  and not exists (
    select from public.conversations as taken where taken.direct_key = private.pair_key(s.coach_id, s.client_id, s.id))
