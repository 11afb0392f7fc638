create or replace function public.post_message(
  p_conversation_id uuid,
  p_content text,
  p_client_message_id uuid default null,
  p_mentions uuid[] default '{}',
  p_reply_to_id uuid default null,
  p_attachments uuid[] default '{}'
)
returns public.messages
language plpgsql
security invoker
set search_path = ''
as $$
declare
  v_me uuid := private.me();
  v_message public.messages;
  v_content text := p_content;
begin
  if cardinality(p_attachments) > 10 then
    perform private.fail(422, 'too_many_attachments', 'A message has at most ten files.');
  end if;
  if not private.i_take_part(p_conversation_id) then
    perform private.fail(404, 'not_found', 'Not found.');
  end if;
  if v_content is null and cardinality(p_attachments) > 0 then
    -- A file without a word is called by its name, in mail and search too.
    select string_agg(x.file_name, ', ' order by x.created_at, x.id) into v_content
    from public.message_uploads as x
    where x.id = any (p_attachments) and x.user_id = v_me;
    v_content := coalesce(v_content, '?');
  end if;
  begin
    insert into public.messages (conversation_id, sender_id, content, client_message_id, reply_to_id)
    values (p_conversation_id, v_me, v_content, p_client_message_id, p_reply_to_id)
    returning * into v_message;
  exception
    -- The first send may have been under way until now; what it wrote is visible to the next statement.
    when unique_violation then
      select * into v_message
      from public.messages as m
      where m.sender_id = v_me and m.client_message_id = p_client_message_id;
      if v_message.deleted_at is null
        and v_message.client_digest is distinct from private.message_digest(p_conversation_id, p_reply_to_id, v_content) then
        perform private.fail(
          409, 'idempotency_conflict', 'This client_message_id was used for another message.',
          'A new message needs a new id.');
      end if;
      return v_message;
  end;
  insert into public.message_mentions (message_id, mentioned_user_id)
  select v_message.id, person
  from (select distinct unnest(p_mentions)) as people (person)
  where person is not null;
  if cardinality(p_attachments) > 0 then
    perform private.attach_uploads(v_message.id, p_attachments);
  end if;
  return v_message;
end;
$$;
comment on function public.post_message(uuid, text, uuid, uuid[], uuid, uuid[]) is
  'Sends a message as the caller. With a client_message_id, sending again gives the first message. Files are checked uploads of the caller; with any, the text may be null.';
revoke execute on function public.post_message(uuid, text, uuid, uuid[], uuid, uuid[]) from public, anon, authenticated, service_role;
grant execute on function public.post_message(uuid, text, uuid, uuid[], uuid, uuid[]) to authenticated;

create or replace function public.edit_message(p_message_id uuid, p_content text, p_mentions uuid[] default null)
returns public.messages
language plpgsql
security invoker
set search_path = ''
as $$
declare
  v_message public.messages;
begin
  update public.messages as m set content = p_content where m.id = p_message_id returning * into v_message;
  if not found then
    perform private.fail(404, 'not_found', 'Not found.');
  end if;
  if p_mentions is not null then
    delete from public.message_mentions as x
    where x.message_id = p_message_id and x.mentioned_user_id <> all (p_mentions);
    insert into public.message_mentions (message_id, mentioned_user_id)
    select p_message_id, person
    from (select distinct unnest(p_mentions)) as people (person)
    where person is not null and not exists (
      select from public.message_mentions as x where x.message_id = p_message_id and x.mentioned_user_id = person
    );
  end if;
  return v_message;
end;
$$;
comment on function public.edit_message(uuid, text, uuid[]) is
  'Changes the text of the caller''s own message, and whom it mentions where that is given.';
revoke execute on function public.edit_message(uuid, text, uuid[]) from public, anon, authenticated, service_role;
grant execute on function public.edit_message(uuid, text, uuid[]) to authenticated;
