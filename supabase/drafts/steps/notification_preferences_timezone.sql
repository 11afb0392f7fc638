-- walks public.notification_preferences
with odd as (
  select p.id, p.timezone from public.notification_preferences as p
  where not private.is_time_zone(coalesce(p.timezone, 'UTC')) and /*within p.id*/ true
), remembered as (
  insert into private.adoption_decisions (kind, key, value)
  select 'notification_preferences.timezone', o.id::text, o.timezone from odd as o
  on conflict (kind, key) do nothing
)
update public.notification_preferences as p
set timezone = coalesce((select d.value from private.adoption_decisions as d where d.kind = 'time_zone' and d.key = o.timezone), 'UTC')
from odd as o where o.id = p.id
