-- walks public.message_read_receipts
update public.message_read_receipts as r
set conversation_id = m.conversation_id, message_seq = m.seq
from public.messages as m
where m.id = r.message_id and r.message_seq is distinct from m.seq and /*within r.id*/ true
