-- name: open_live
-- role: service_role
select o.epoch, o.key, o.xid::bigint as xid, o.id from private.open_live() as o

-- name: read_live
-- role: service_role
select r.xid::bigint as xid, r.id, r.cursor, r.kind, r.data, r.readers, r.conversation_id, r.waiting
from private.read_live(%(xid)s, %(id)s, %(limit)s) as r

-- name: live_since
select s.cursor, s.kind, s.data::text as data
from public.live_since(%(after)s, %(until)s, %(limit)s) as s
where not (select private.my_sign_in_ended(%(sign_in)s))

-- name: prune_live
-- role: service_role
select private.prune_live(make_interval(days => %(days)s))

-- name: typing_readers
-- role: service_role
select t.conversation_id, t.user_id, t.readers
from private.typing_readers(%(conversation_ids)s::uuid[], %(user_ids)s::uuid[]) as t

-- name: may_type
select %(conversation_id)s::uuid = any ((select private.my_conversation_ids())::uuid[])

-- name: list_people
select p.user_id, p.display_name from public.conversation_people(%(conversation_id)s) as p where p.is_current
