-- walks public.users
-- A zone that is no IANA name would hold up every later change of the row; it becomes the one that was found for it, and what
-- stood there is kept for a person to look at.
with odd as (
  select u.id, u.timezone from public.users as u
  where not private.is_time_zone(coalesce(u.timezone, 'UTC')) and /*within u.id*/ true
), remembered as (
  insert into private.adoption_decisions (kind, key, value)
  select 'users.timezone', o.id::text, o.timezone from odd as o
  on conflict (kind, key) do nothing
)
update public.users as u
set timezone = coalesce((select d.value from private.adoption_decisions as d where d.kind = 'time_zone' and d.key = o.timezone), 'UTC')
from odd as o where o.id = u.id
