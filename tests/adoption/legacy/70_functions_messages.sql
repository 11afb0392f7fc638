-- Conversations and messages: analytics triggers that run as the sender, and helpers that take anybody's word.

create function public.get_or_create_direct_conversation(user1_id uuid, user2_id uuid) returns uuid language plpgsql as $$
declare
  found uuid;
begin
  select c.id into found
  from public.conversations as c
  join public.conversation_participants as a on a.conversation_id = c.id and a.user_id = user1_id
  join public.conversation_participants as b on b.conversation_id = c.id and b.user_id = user2_id
  where c.type = 'direct'
  limit 1;
  if found is null then
    insert into public.conversations (type, created_by) values ('direct', user1_id) returning id into found;
    insert into public.conversation_participants (conversation_id, user_id) values (found, user1_id), (found, user2_id);
  end if;
  return found;
end $$;
create function public.mark_conversation_as_read(conversation_id_param uuid, user_id_param uuid) returns void
language plpgsql as $$
begin
  update public.conversation_participants set last_read_at = now()
  where conversation_id = conversation_id_param and user_id = user_id_param;
  insert into public.message_read_receipts (message_id, user_id)
  select m.id, user_id_param from public.messages as m
  where m.conversation_id = conversation_id_param and m.sender_id <> user_id_param
  on conflict (message_id, user_id) do nothing;
end $$;
create function public.get_unread_message_count(conversation_id_param uuid, user_id_param uuid) returns integer
language sql stable as $$
  select count(*)::integer
  from public.messages as m
  join public.conversation_participants as p on p.conversation_id = m.conversation_id and p.user_id = $2
  where m.conversation_id = $1 and m.sender_id <> $2 and m.created_at > p.last_read_at
$$;
create function public.can_user_message_user(sender_id uuid, recipient_id uuid) returns boolean
language sql stable security definer as $$
  select exists (select from public.users as u where u.id = $1 and u.role = 'admin')
    or exists (
      select from public.sessions as s
      where ($1, $2) in ((s.coach_id, s.client_id), (s.client_id, s.coach_id))
        and s.status in ('scheduled', 'in_progress', 'completed'))
    or exists (
      select from public.conversation_participants as a
      join public.conversation_participants as b using (conversation_id)
      where a.user_id = $1 and b.user_id = $2)
$$;
create function public.get_last_messages_for_conversations(ids uuid[]) returns setof public.messages
language sql stable security definer as $$
  select distinct on (m.conversation_id) m.* from public.messages as m
  where m.conversation_id = any ($1) order by m.conversation_id, m.created_at desc
$$;
create function public.cleanup_expired_typing_indicators() returns void language sql as $$
  delete from public.typing_indicators where expires_at < now()
$$;
create function public.archive_old_messages(policy text default 'default') returns integer language sql security definer as $$
  with done as (
    update public.messages set is_archived = true, archived_at = now()
    where created_at < now() - interval '365 days' and not is_archived returning 1
  ) select count(*)::integer from done
$$;
create function public.delete_archived_messages(days integer default 2555) returns integer language sql security definer as $$
  with gone as (
    delete from public.messages where is_archived and archived_at < now() - make_interval(days => $1) returning 1
  ) select count(*)::integer from gone
$$;

create function public.update_conversation_last_message() returns trigger language plpgsql as $$
begin
  update public.conversations set last_message_at = new.created_at where id = new.conversation_id;
  return new;
end $$;
create trigger trigger_update_conversation_last_message after insert on public.messages
for each row execute function public.update_conversation_last_message();

create function public.track_message_sent() returns trigger language plpgsql as $$
begin
  insert into public.message_analytics_events (event_type, message_id, conversation_id, user_id)
  values ('sent', new.id, new.conversation_id, new.sender_id);
  insert into public.message_analytics_daily (date, user_id, conversation_id, messages_sent)
  values (current_date, new.sender_id, new.conversation_id, 1)
  on conflict (date, user_id, conversation_id)
  do update set messages_sent = public.message_analytics_daily.messages_sent + 1;
  return new;
end $$;
create trigger track_message_sent_trigger after insert on public.messages
for each row execute function public.track_message_sent();
create function public.track_message_reply() returns trigger language plpgsql as $$
begin
  if new.reply_to_id is not null then
    insert into public.message_analytics_events (event_type, message_id, conversation_id, user_id)
    values ('replied', new.id, new.conversation_id, new.sender_id);
  end if;
  return new;
end $$;
create trigger track_message_reply_trigger after insert on public.messages
for each row execute function public.track_message_reply();
create function public.track_message_read() returns trigger language plpgsql as $$
begin
  insert into public.message_analytics_events (event_type, message_id, conversation_id, user_id, metadata)
  select 'read', m.id, m.conversation_id, new.user_id,
    jsonb_build_object('delay', extract(epoch from new.read_at - m.created_at))
  from public.messages as m where m.id = new.message_id;
  return new;
end $$;
create trigger track_message_read_trigger after insert on public.message_read_receipts
for each row execute function public.track_message_read();
create function public.track_message_reaction() returns trigger language plpgsql as $$
begin
  insert into public.message_analytics_events (event_type, message_id, conversation_id, user_id, metadata)
  select 'reacted', m.id, m.conversation_id, new.user_id, jsonb_build_object('emoji', new.emoji)
  from public.messages as m where m.id = new.message_id;
  return new;
end $$;
create trigger track_message_reaction_trigger after insert on public.message_reactions
for each row execute function public.track_message_reaction();
