create or replace function public.send_message_json(
  p_conversation_id uuid,
  p_content text,
  p_client_message_id uuid default null,
  p_mentions uuid[] default '{}',
  p_reply_to_id uuid default null,
  p_attachments uuid[] default '{}'
)
returns json
language plpgsql
security invoker
set search_path = ''
as $$
declare
  v_message public.messages;
begin
  v_message := public.post_message(
    p_conversation_id, p_content, p_client_message_id, p_mentions, p_reply_to_id, p_attachments);
  -- A statement of its own, which sees what the one before has written.
  return public.conversation_timeline_json(v_message.conversation_id, v_message.seq + 1, 1) -> 'items' -> 0;
end;
$$;
comment on function public.send_message_json(uuid, text, uuid, uuid[], uuid, uuid[]) is
  'Sends a message as the caller and gives it as a timeline shows it: public.post_message and the page of one, in one round trip.';
revoke execute on function public.send_message_json(uuid, text, uuid, uuid[], uuid, uuid[]) from public, anon, authenticated, service_role;
grant execute on function public.send_message_json(uuid, text, uuid, uuid[], uuid, uuid[]) to authenticated;
