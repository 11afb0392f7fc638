create or replace function public.mark_read(p_conversation_id uuid, p_seq bigint)
returns bigint
language plpgsql
security definer
set search_path = ''
as $$
declare
  v_me uuid := private.me();
  v_mine public.conversation_participants;
  v_until bigint;
begin
  select * into v_mine
  from public.conversation_participants as p
  where p.conversation_id = p_conversation_id and p.user_id = v_me and p.left_at is null
  for update;
  if not found then
    perform private.fail(404, 'not_found', 'Not found.');
  end if;
  -- Only ever forward, and never beyond what has been said.
  select greatest(v_mine.last_read_seq, least(coalesce(p_seq, 0), c.last_seq)) into v_until
  from public.conversations as c
  where c.id = p_conversation_id;
  if v_until = v_mine.last_read_seq then
    return v_until;
  end if;
  insert into public.message_read_receipts (message_id, user_id)
  select m.id, v_me
  from public.messages as m
  where m.conversation_id = p_conversation_id
    and m.seq > greatest(v_mine.last_read_seq, v_mine.history_from_seq - 1)
    and m.seq <= v_until
    and m.sender_id <> v_me
    and m.deleted_at is null
  on conflict (message_id, user_id) do nothing;
  update public.conversation_participants as p
  set
    last_read_seq = v_until,
    last_read_at = now(),
    -- Counted from what is left to read, so that purged messages, which are not there to be counted, are no news either.
    own_after_read = (
      select c.last_seq - v_until - (
        select count(*)
        from public.messages as m
        where m.conversation_id = p_conversation_id and m.seq > v_until and m.seq >= p.history_from_seq
          and m.sender_id <> v_me and m.deleted_at is null
      )
      from public.conversations as c
      where c.id = p_conversation_id
    )
  where p.id = v_mine.id;
  return v_until;
end;
$$;
comment on function public.mark_read(uuid, bigint) is
  'security definer: writes receipts and positions, which nobody may write. The caller has read a conversation up to a message; gives the position that now holds.';
revoke execute on function public.mark_read(uuid, bigint) from public, anon, authenticated, service_role;
grant execute on function public.mark_read(uuid, bigint) to authenticated;
