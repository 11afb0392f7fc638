-- Reactions, attachments, receipts, mentions and deliveries carry their message's conversation and seq: their policies then
-- need no look at messages, and a page of a timeline reads each table by one range. With an argument the trigger takes rows
-- about deleted messages too: a function writes them, and the message may go while it does.

create or replace function private.place_beside_message()
returns trigger
language plpgsql
security definer
set search_path = ''
as $$
declare
  v_message record;
begin
  select m.conversation_id, m.seq, m.deleted_at into v_message from public.messages as m where m.id = new.message_id;
  new.conversation_id := v_message.conversation_id;
  new.message_seq := v_message.seq;
  if v_message.deleted_at is not null and private.acting_as_api() and tg_nargs = 0 then
    -- As if it were not there: the policy refuses a row without conversation.
    new.conversation_id := null;
  end if;
  return new;
end;
$$;
comment on function private.place_beside_message() is
  'security definer: reads the message whoever inserts. Trigger: copies conversation and seq, so that a caller cannot say otherwise.';
revoke execute on function private.place_beside_message() from public, anon, authenticated, service_role;
