-- Helpers that answered or wrote for whatever user's id they were given. Those that do what a person may do anyway run as the caller
-- from now on, so that policies decide; the others are for the service alone, which the extension has seen to above.
do $$
declare
  item record;
begin
  for item in
    select p.oid::regprocedure as signature, p.proname
    from pg_proc as p
    where p.pronamespace = 'public'::regnamespace and p.prokind = 'f' and pg_has_role(current_user, p.proowner, 'member')
      and p.proname in (
        'create_session', 'get_upcoming_sessions', 'mark_notifications_read', 'mark_notification_read',
        'mark_all_notifications_read', 'get_unread_notification_count', 'get_unread_message_count', 'can_user_message_user',
        'get_last_messages_for_conversations', 'validate_session_availability_with_timezone')
  loop
    if item.proname = 'validate_session_availability_with_timezone' then
      -- Hours are known to whoever has signed in (public.coach_hours), but no longer read from the table.
      execute format('alter function %s security definer', item.signature);
      execute format('alter function %s set search_path = public, pg_temp', item.signature);
    else
      execute format('alter function %s security invoker', item.signature);
    end if;
    execute format('revoke execute on function %s from public, anon', item.signature);
    execute format('grant execute on function %s to authenticated, service_role', item.signature);
  end loop;
end;
$$;
