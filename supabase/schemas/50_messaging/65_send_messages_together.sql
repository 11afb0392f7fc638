create or replace function private.send_messages_together(p_sends jsonb)
returns text[]
language plpgsql
volatile
security invoker
set search_path = ''
as $$
declare
  v_send record;
  v_answers text[] := array_fill(null::text, array[jsonb_array_length(p_sends)]);
  v_keys uuid[] := '{}';
  v_stuck uuid;
begin
  -- From here on each of them is the person who sends, and may what that person may: no more is done here than calling the
  -- function that they would call themselves.
  perform set_config('role', 'authenticated', true), set_config('lock_timeout', '100ms', true);
  -- In one order everywhere: each message locks its conversation until the transaction ends.
  for v_send in
    select s.*, e.place
    from jsonb_array_elements(p_sends) with ordinality as e (send, place)
    cross join lateral jsonb_to_record(e.send) as s (
      claims text, conversation_id uuid, content text, client_message_id uuid, mentions uuid[], reply_to_id uuid,
      attachments uuid[])
    order by s.conversation_id, e.place
  loop
    -- A repetition of this very moment, and what would wait for long: each by itself.
    continue when v_send.conversation_id = v_stuck or v_send.client_message_id = any (v_keys);
    v_keys := v_keys || v_send.client_message_id;
    begin
      perform set_config('request.jwt.claims', v_send.claims, true);
      v_answers[v_send.place] := public.send_message_json(
        v_send.conversation_id, v_send.content, v_send.client_message_id, v_send.mentions, v_send.reply_to_id,
        v_send.attachments);
    exception
      when lock_not_available then
        v_stuck := v_send.conversation_id;
      when others then
        -- Undone by itself. Sent alone it is refused again, and the sender is told why.
        null;
    end;
  end loop;
  return v_answers;
end;
$$;
comment on function private.send_messages_together(jsonb) is
  'Sends of several people in one transaction, each as that person and undone by itself: public.send_message_json for each. Answers in the order asked; null for a send that has to be made alone. For the service, which has verified the claims.';
revoke execute on function private.send_messages_together(jsonb) from public, anon, authenticated, service_role;
grant execute on function private.send_messages_together(jsonb) to service_role;
