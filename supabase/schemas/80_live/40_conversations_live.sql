create or replace function private.messages_live()
returns trigger
language plpgsql
security definer
set search_path = ''
as $$
begin
  -- Imported history is not news, as for deliveries.
  if tg_op = 'INSERT' and new.created_at <= now() - interval '1 hour' then
    return null;
  end if;
  insert into public.live_events (kind, scope, conversation_id, message_seq, message_id)
  values (
    case
      when tg_op = 'INSERT' then 'message.created'
      when new.deleted_at is not null then 'message.deleted'
      else 'message.edited'
    end,
    'conversation', new.conversation_id, new.seq, new.id);
  return null;
end;
$$;
comment on function private.messages_live() is
  'security definer: nobody may write the log. Trigger: a message written, edited or deleted is news to the readers of its conversation.';
revoke execute on function private.messages_live() from public, anon, authenticated, service_role;

drop trigger if exists messages_live on public.messages;
create trigger messages_live after insert or update of content, deleted_at on public.messages
for each row execute function private.messages_live();

create or replace function private.message_reactions_live()
returns trigger
language plpgsql
security definer
set search_path = ''
as $$
declare
  v_row public.message_reactions := coalesce(new, old);
begin
  insert into public.live_events (kind, scope, conversation_id, message_seq, message_id, user_id, detail)
  values (
    case tg_op when 'INSERT' then 'reaction.added' else 'reaction.removed' end,
    'conversation', v_row.conversation_id, v_row.message_seq, v_row.message_id, v_row.user_id,
    jsonb_build_object('emoji', v_row.emoji));
  return null;
end;
$$;
comment on function private.message_reactions_live() is
  'security definer: nobody may write the log. Trigger: a reaction, or one taken back, is news to the readers of its message.';
revoke execute on function private.message_reactions_live() from public, anon, authenticated, service_role;

drop trigger if exists message_reactions_live on public.message_reactions;
create trigger message_reactions_live after insert or delete on public.message_reactions
for each row execute function private.message_reactions_live();

create or replace function private.conversations_live()
returns trigger
language plpgsql
security definer
set search_path = ''
as $$
begin
  insert into public.live_events (kind, scope, conversation_id) values ('conversation.changed', 'conversation', new.id);
  return null;
end;
$$;
comment on function private.conversations_live() is
  'security definer: nobody may write the log. Trigger: a new title is news to the readers of a conversation.';
revoke execute on function private.conversations_live() from public, anon, authenticated, service_role;

drop trigger if exists conversations_live on public.conversations;
create trigger conversations_live after update of title on public.conversations
for each row when (old.title is distinct from new.title) execute function private.conversations_live();

create or replace function private.conversation_participants_live()
returns trigger
language plpgsql
security definer
set search_path = ''
as $$
declare
  v_came boolean;
  v_read boolean := false;
begin
  if tg_op = 'INSERT' then
    v_came := case when new.left_at is null then true end;
  else
    v_came := case when (new.left_at is null) <> (old.left_at is null) then new.left_at is null end;
    v_read := new.last_read_seq > old.last_read_seq and new.last_read_at is distinct from old.last_read_at;
  end if;
  if v_came is not null then
    -- To the others, who may see it; and to the person, who may see nothing else of it once they have left.
    insert into public.live_events (kind, scope, conversation_id, user_id) values
      (case when v_came then 'participant.joined' else 'participant.left' end, 'conversation', new.conversation_id, new.user_id),
      (case when v_came then 'conversation.joined' else 'conversation.left' end, 'person', new.conversation_id, new.user_id);
  end if;
  -- Writing moves one's own position too, without a time: that is no news.
  if v_read then
    insert into public.live_events (kind, scope, conversation_id, message_seq, user_id)
    values ('conversation.read', 'conversation', new.conversation_id, new.last_read_seq, new.user_id);
  end if;
  return null;
end;
$$;
comment on function private.conversation_participants_live() is
  'security definer: nobody may write the log. Trigger: who joined, left or read is news to the conversation, and joining and leaving to the person.';
revoke execute on function private.conversation_participants_live() from public, anon, authenticated, service_role;

drop trigger if exists conversation_participants_live on public.conversation_participants;
create trigger conversation_participants_live after insert or update of left_at, last_read_at on public.conversation_participants
for each row execute function private.conversation_participants_live();
