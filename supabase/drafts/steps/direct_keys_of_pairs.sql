-- walks public.users, once
-- One conversation per pair from now on. Where a pair has several, none can be said to be the one: they stay readable as they
-- are, and the next start makes a new one. Deliveries of old messages are not invented.
update public.conversations as c
set direct_key = n.direct_key
from (
  select private.pair_key(low.user_id, high.user_id) as direct_key, (array_agg(low.conversation_id))[1] as id
  from public.conversation_participants as low
  join public.conversation_participants as high
    on high.conversation_id = low.conversation_id and high.user_id > low.user_id and high.left_at is null
  join public.conversations as d on d.id = low.conversation_id and d.type = 'direct'
  where low.left_at is null and /*within low.user_id*/ true
    and not exists (
      select from public.conversation_participants as third
      where third.conversation_id = low.conversation_id and third.user_id not in (low.user_id, high.user_id))
  group by low.user_id, high.user_id
  having count(*) = 1
) as n
where n.id = c.id and c.direct_key is null
  and not exists (select from public.conversation_contexts as x where x.conversation_id = c.id and x.session_id is not null)
  and not exists (select from public.conversations as taken where taken.direct_key = n.direct_key)
