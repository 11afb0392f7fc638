-- walks public.conversation_participants, once
-- The old position was a time. What one wrote behind it is one's own, not unread.
update public.conversation_participants as p
set
  last_read_seq = n.last_read_seq,
  own_after_read = (
    select count(*) from public.messages as m
    where m.conversation_id = p.conversation_id and m.sender_id = p.user_id and m.seq > n.last_read_seq)
from (
  select q.id, coalesce(max(m.seq), 0) as last_read_seq
  from public.conversation_participants as q
  left join public.messages as m on m.conversation_id = q.conversation_id and m.created_at <= q.last_read_at
  where /*within q.id*/ true
  group by q.id
) as n
where n.id = p.id
