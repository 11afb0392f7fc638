-- walks public.conversations, once
-- Numbers in the order of time; what has a number keeps it.
with numbered as (
  select o.id, o.conversation_id,
    row_number() over (partition by o.conversation_id order by o.seq nulls last, o.created_at, o.id) as seq
  from public.messages as o
  where /*within o.conversation_id*/ true
), moved as (
  update public.messages as m set seq = n.seq from numbered as n where n.id = m.id and m.seq is distinct from n.seq
)
update public.conversations as c
set last_seq = n.last_seq
from (select o.conversation_id, max(o.seq) as last_seq from numbered as o group by o.conversation_id) as n
where n.conversation_id = c.id and c.last_seq <> n.last_seq
