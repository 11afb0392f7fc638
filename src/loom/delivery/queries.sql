-- name: list_devices
-- role: service_role
select id, endpoint, p256dh, auth
from public.push_subscriptions
where user_id = %(user_id)s and retired_at is null
order by created_at

-- name: retire_devices
-- role: service_role
update public.push_subscriptions
set retired_at = now(), retired_reason = 'gone'
where id = any (%(ids)s::uuid[]) and retired_at is null

-- name: touch_devices
-- role: service_role
update public.push_subscriptions set last_sent_at = now() where id = any (%(ids)s::uuid[])

-- name: suppress_address
-- role: service_role
select private.suppress_address(%(address)s, 'refused', %(detail)s, %(id)s)
