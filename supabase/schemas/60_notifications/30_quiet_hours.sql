do $$
begin
  if not exists (
    select from pg_constraint
    where conrelid = 'public.notification_preferences'::regclass and conname = 'notification_preferences_quiet_hours_check'
  ) then
    -- Not validated: an old row with half of its hours stands until its person changes something.
    alter table public.notification_preferences
      add constraint notification_preferences_quiet_hours_check check (
        not quiet_hours_enabled or coalesce(quiet_hours_start <> quiet_hours_end, false)
      ) not valid;
  end if;
end;
$$;
