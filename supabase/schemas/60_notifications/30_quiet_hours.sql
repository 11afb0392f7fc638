-- Not validated: an old row with half of its hours stands until its person changes something.
select private.ensure_constraints(
  'public.notification_preferences',
  'notification_preferences_quiet_hours_check check ( not quiet_hours_enabled or coalesce(quiet_hours_start <> quiet_hours_end, false) ) not valid');
