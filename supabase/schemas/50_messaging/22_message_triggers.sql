create or replace function private.message_digest(p_conversation_id uuid, p_reply_to_id uuid, p_content text)
returns text
language sql
immutable
security invoker
set search_path = ''
as $$
  select encode(
    sha256(convert_to(concat_ws('|', p_conversation_id, coalesce(p_reply_to_id::text, '-'), p_content), 'UTF8')), 'hex')
$$;
comment on function private.message_digest(uuid, uuid, text) is 'What two sends with one key must agree in.';
revoke execute on function private.message_digest(uuid, uuid, text) from public, anon, authenticated, service_role;
grant execute on function private.message_digest(uuid, uuid, text) to authenticated, service_role;

create or replace function private.check_message_content(p_content text)
returns void
language plpgsql
immutable
security invoker
set search_path = ''
as $$
begin
  if p_content is null or char_length(p_content) > 10000 or p_content !~ '[^[:space:]\u180E\u200B-\u200F\u2060-\u2064\uFEFF]' then
    perform private.fail(422, 'content_invalid', 'A message has 1 to 10,000 characters, not only spaces or characters that nobody sees.');
  end if;
end;
$$;
comment on function private.check_message_content(text) is 'The measure of a message that API users write.';
revoke execute on function private.check_message_content(text) from public, anon, authenticated, service_role;
grant execute on function private.check_message_content(text) to authenticated, service_role;

create or replace function private.place_message()
returns trigger
language plpgsql
security definer
set search_path = ''
as $$
begin
  new.seq := 0;
  -- Messages of the system are written by functions for somebody; no API role may say that a message is one.
  if private.acting_as_api() and new.type <> 'system' then
    if not private.i_take_part(new.conversation_id) or new.sender_id is distinct from private.me() then
      -- The policy refuses this row next, without a lock taken or a word about what exists.
      return new;
    end if;
    perform private.check_message_content(new.content);
    if new.reply_to_id is not null and not exists (
      select
      from public.messages as m
      join public.conversation_participants as p on p.conversation_id = m.conversation_id and p.user_id = new.sender_id
      where m.id = new.reply_to_id and m.conversation_id = new.conversation_id and m.seq >= p.history_from_seq
    ) then
      perform private.fail(422, 'reply_unknown', 'The message replied to is not in this conversation.');
    end if;
  end if;

  select c.last_seq + 1 into new.seq from public.conversations as c where c.id = new.conversation_id for no key update;
  if not found then
    new.seq := 0;
    return new;
  end if;
  -- A row that is going to be refused as a repetition (ON CONFLICT DO NOTHING included) must not use up a number. The lock
  -- keeps what it repeats from being purged in between.
  perform
  from public.messages as m
  where m.sender_id = new.sender_id and m.client_message_id = new.client_message_id
  for key share;
  if found then
    return new;
  end if;
  if not private.acting_as_api() then
    perform from public.messages as m where m.id = new.id for key share;
    if found then
      return new;
    end if;
  end if;

  new.client_digest := case
    when new.client_message_id is not null then private.message_digest(new.conversation_id, new.reply_to_id, new.content)
  end;
  update public.conversations as c
  set last_seq = new.seq, last_message_at = greatest(c.last_message_at, new.created_at)
  where c.id = new.conversation_id;
  return new;
end;
$$;
comment on function private.place_message() is
  'security definer: numbers a message by locking a conversation that the sender may not update. Trigger before insert.';
revoke execute on function private.place_message() from public, anon, authenticated, service_role;

create or replace function private.keep_message()
returns trigger
language plpgsql
security invoker
set search_path = ''
as $$
begin
  if (new.id, new.conversation_id, new.sender_id, new.seq) is distinct from (old.id, old.conversation_id, old.sender_id, old.seq)
    or new.client_message_id is distinct from old.client_message_id
    or (new.client_digest is distinct from old.client_digest and new.deleted_at is null) then
    perform private.fail(409, 'message_fixed', 'A message keeps its conversation, place, sender and key.');
  end if;
  if new.content is distinct from old.content and new.deleted_at is null then
    if private.acting_as_api() then
      perform private.check_message_content(new.content);
    end if;
    new.is_edited := true;
    new.edited_at := now();
  end if;
  return new;
end;
$$;
comment on function private.keep_message() is 'Trigger before update: what never changes in a message, and the marks of an edit.';
revoke execute on function private.keep_message() from public, anon, authenticated, service_role;

create or replace function private.after_message()
returns trigger
language plpgsql
security definer
set search_path = ''
as $$
begin
  -- Who is up to date stays so by writing; who is not has read nothing by it, so their own message is counted apart.
  update public.conversation_participants as p
  set
    last_read_seq = case when p.last_read_seq = new.seq - 1 then new.seq else p.last_read_seq end,
    own_after_read = case when p.last_read_seq = new.seq - 1 then 0 else p.own_after_read + 1 end
  where p.conversation_id = new.conversation_id and p.user_id = new.sender_id;
  -- Imported history is not news: nobody gets mail about last year.
  if new.created_at > now() - interval '1 hour' then
    perform private.plan_deliveries(new.id);
  end if;
  return new;
end;
$$;
comment on function private.after_message() is
  'security definer: writes reading positions and deliveries that no API role may write. Trigger after insert, in the message''s transaction.';
revoke execute on function private.after_message() from public, anon, authenticated, service_role;

drop trigger if exists messages_place on public.messages;
create trigger messages_place before insert on public.messages
for each row execute function private.place_message();
drop trigger if exists messages_keep on public.messages;
create trigger messages_keep before update on public.messages
for each row execute function private.keep_message();
drop trigger if exists messages_after on public.messages;
create trigger messages_after after insert on public.messages
for each row execute function private.after_message();
drop trigger if exists messages_touch on public.messages;
create trigger messages_touch before update on public.messages
for each row execute function private.touch_updated_at();
