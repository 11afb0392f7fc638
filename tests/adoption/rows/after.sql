do $$
declare
  item record;
begin
  for item in select * from keys_to_come order by tbl, name loop
    execute format('alter table %s add constraint %I %s', item.tbl, item.name, item.definition);
  end loop;
end;
$$;
drop table keys_to_come;
do $$
declare
  item text;
begin
  foreach item in array array[
    'users', 'sessions', 'coach_notes', 'reflections', 'coach_availability', 'notification_preferences', 'conversations',
    'conversation_participants', 'messages', 'message_reactions', 'message_attachments', 'message_read_receipts'
  ] loop
    execute format('alter table public.%I enable trigger user', item);
    execute format('analyze public.%I', item);
  end loop;
end;
$$;
analyze public.payments;
-- Not valid is as near as an owner gets: in the old database it was valid once, when the sessions were young.
alter table public.sessions
  add constraint sessions_future_or_current check (scheduled_at >= now() - interval '1 day') not valid;
