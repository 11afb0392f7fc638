-- walks public.users
insert into public.notification_preferences (user_id, timezone)
select u.id, coalesce(u.timezone, 'UTC')
from public.users as u
where not exists (select from public.notification_preferences as p where p.user_id = u.id) and /*within u.id*/ true
on conflict (user_id) do nothing
