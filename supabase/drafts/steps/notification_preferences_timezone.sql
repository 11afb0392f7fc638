-- walks public.notification_preferences
update public.notification_preferences as p set timezone = 'UTC'
where not private.is_time_zone(coalesce(p.timezone, 'UTC')) and /*within p.id*/ true
