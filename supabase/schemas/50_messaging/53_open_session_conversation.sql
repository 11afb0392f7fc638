create or replace function public.open_session_conversation(p_session_id uuid)
returns setof public.conversations
language plpgsql
security definer
set search_path = ''
as $$
declare
  v_me uuid := private.me();
  v_session record;
  v_conversation public.conversations;
  v_people uuid[];
  v_person uuid;
begin
  select s.id, s.type, s.title, s.status, s.roster_visible into v_session
  from public.sessions as s
  where s.id = p_session_id and s.coach_id = v_me;
  if not found then
    perform private.fail(404, 'not_found', 'Not found.');
  end if;
  if v_session.status in ('cancelled', 'rescheduled') then
    perform private.fail(409, 'session_closed', 'This session does not take place.');
  end if;
  select coalesce(array_agg(distinct a.user_id), '{}') into v_people
  from public.session_attendees as a
  join public.users as u on u.id = a.user_id and u.status = 'active'
  where a.session_id = p_session_id
    and a.user_id <> v_me
    and a.cancelled_at is null
    and (a.status in ('confirmed', 'checked_in') or (a.status = 'invited' and v_session.type = 'individual'));

  if v_session.type = 'individual' or not v_session.roster_visible then
    -- Attendees must not learn of one another, so each has the coach to themselves.
    foreach v_person in array v_people loop
      v_conversation := private.open_conversation(
        private.pair_key(v_me, v_person, p_session_id), 'direct', v_session.title, p_session_id);
      perform private.seat_person(v_conversation.id, person, 1, 0) from unnest(array[v_me, v_person]) as person;
      return next v_conversation;
    end loop;
    return;
  end if;

  v_conversation := private.open_conversation('session:' || p_session_id::text, 'group', v_session.title, p_session_id);
  -- Who gave the seat up leaves; who has left by themselves is not pulled back in.
  update public.conversation_participants as p
  set left_at = now(), left_by = v_me
  where p.conversation_id = v_conversation.id and p.left_at is null and p.user_id <> all (v_people || v_me);
  perform private.seat_person(v_conversation.id, person, v_conversation.last_seq + 1, v_conversation.last_seq)
  from unnest(v_me || v_people) as person
  where not exists (
    select
    from public.conversation_participants as p
    where p.conversation_id = v_conversation.id and p.user_id = person and p.left_by = p.user_id
  );
  return next v_conversation;
end;
$$;
comment on function public.open_session_conversation(uuid) is
  'security definer: reads seats and makes conversations, which nobody may insert. The coach''s: one group where the roster is visible, else one conversation with each attendee who accepted. Called again, it brings people up to date.';
revoke execute on function public.open_session_conversation(uuid) from public, anon, authenticated, service_role;
grant execute on function public.open_session_conversation(uuid) to authenticated;
