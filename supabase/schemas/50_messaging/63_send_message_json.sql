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
security definer
set search_path = ''
as $$
declare
  v_message public.messages;
begin
  v_message := public.post_message(
    p_conversation_id, p_content, p_client_message_id, p_mentions, p_reply_to_id, p_attachments);
  if v_message.created_at = now() and not v_message.is_edited and cardinality(p_mentions) = 0 and cardinality(p_attachments) = 0 then
    -- Nothing can be beside a message of this moment but its deliveries, so a page of one need not look for it.
    return json_build_object(
      'id', v_message.id, 'conversation_id', v_message.conversation_id, 'seq', v_message.seq, 'type', v_message.type,
      'sender_id', v_message.sender_id, 'sender_name', (
        select nullif(btrim(concat_ws(' ', u.first_name, u.last_name)), '') from public.users as u where u.id = v_message.sender_id
      ), 'content', v_message.content,
      'html', null, 'system', null, 'reply_to_id', v_message.reply_to_id, 'client_message_id', v_message.client_message_id,
      'is_edited', false, 'edited_at', null, 'deleted_at', null, 'created_at', v_message.created_at, 'is_read', true,
      'mentions', json_build_array(), 'reactions', json_build_array(), 'attachments', json_build_array(),
      'deliveries', (
        select json_object_agg(s.channel, s.status order by s.channel)
        from public.message_delivery_states as s
        where s.message_id = v_message.id
      ));
  end if;
  -- A statement of its own, which sees what the one before has written.
  return public.conversation_timeline_json(v_message.conversation_id, v_message.seq + 1, 1) -> 'items' -> 0;
end;
$$;
comment on function public.send_message_json(uuid, text, uuid, uuid[], uuid, uuid[]) is
  'security definer: post_message has asked who may; asking again in each policy would double the work. Sends a message as the caller and gives it as a timeline shows it: public.post_message and the page of one, in one round trip.';
revoke execute on function public.send_message_json(uuid, text, uuid, uuid[], uuid, uuid[]) from public, anon, authenticated, service_role;
grant execute on function public.send_message_json(uuid, text, uuid, uuid[], uuid, uuid[]) to authenticated;
