create or replace function public.delete_message(p_message_id uuid, p_reason text default null)
returns public.messages
language plpgsql
security definer
set search_path = ''
as $$
declare
  v_me uuid := private.me();
  v_message public.messages;
begin
  if char_length(p_reason) > 1000 then
    perform private.fail(422, 'reason_too_long', 'A reason has at most 1,000 characters.');
  end if;
  select * into v_message from public.messages as m where m.id = p_message_id for no key update;
  if not found or v_me is null or not (
    -- What Loom says in a person's name is not the person's to take back.
    (v_message.sender_id = v_me and v_message.type <> 'system' and private.i_take_part(v_message.conversation_id))
    -- In a group the coach keeps order; between two, nobody takes back what the other said.
    or (
      v_message.type <> 'system'
      and v_message.conversation_id = any (private.my_led_conversation_ids())
      and exists (select from public.conversations as c where c.id = v_message.conversation_id and c.type = 'group')
    )
    or private.i_am_admin()
  ) then
    perform private.fail(404, 'not_found', 'Not found.');
  end if;
  if v_message.deleted_at is not null then
    return v_message;
  end if;
  perform set_config('loom.deletion_reason', coalesce(p_reason, ''), true);
  update public.messages as m
  -- The digest goes too: a short text can be guessed from it.
  set deleted_at = now(), deleted_by = v_me, content = null, client_digest = null
  where m.id = p_message_id
  returning * into v_message;
  perform set_config('loom.deletion_reason', '', true);
  -- What was said about it goes with it; what has not gone out yet stays behind, the worker asks again before it sends.
  delete from public.message_reactions as r where r.message_id = p_message_id;
  delete from public.message_mentions as x where x.message_id = p_message_id;
  return v_message;
end;
$$;
comment on function public.delete_message(uuid, text) is
  'security definer: removes content and reactions that the caller may not touch. The sender''s own message, any message of a group for its coach, any for an admin; leaves a tombstone and an audit row.';
revoke execute on function public.delete_message(uuid, text) from public, anon, authenticated, service_role;
grant execute on function public.delete_message(uuid, text) to authenticated;
