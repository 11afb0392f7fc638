-- walks public.message_attachments
update public.message_attachments as r
set conversation_id = m.conversation_id, message_seq = m.seq
from public.messages as m
where m.id = r.message_id and r.message_seq is distinct from m.seq and /*within r.id*/ true
