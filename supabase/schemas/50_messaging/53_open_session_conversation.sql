-- The conversations of a session follow its attendees. Where the roster is visible there is one group; otherwise, and with
-- one client, the coach has a conversation with each. They are there once the coach has opened them; from then on who
-- accepts comes in by itself, and who gives the seat up leaves the group. Who left by themselves is not pulled back in.

create or replace function private.session_people(p_session_id uuid)
returns uuid[]
language sql
stable
security definer
set search_path = ''
as $$
  select coalesce(array_agg(distinct a.user_id), '{}')
  from public.session_attendees as a
  join public.sessions as s on s.id = a.session_id
  join public.users as u on u.id = a.user_id and u.status = 'active'
  where a.session_id = p_session_id
    and a.user_id <> s.coach_id
    and a.cancelled_at is null
    and (a.status in ('confirmed', 'checked_in') or (a.status = 'invited' and s.type = 'individual'))
$$;
comment on function private.session_people(uuid) is
  'security definer: reads seats that the caller may not. Who takes part in a session besides its coach.';
revoke execute on function private.session_people(uuid) from public, anon, authenticated, service_role;

create or replace function private.keep_session_group(p_conversation public.conversations, p_coach_id uuid, p_people uuid[])
returns void
language plpgsql
security definer
set search_path = ''
as $$
begin
  update public.conversation_participants as p
  set left_at = now(), left_by = p_coach_id
  where p.conversation_id = p_conversation.id and p.left_at is null and p.user_id <> all (p_people || p_coach_id);
  perform private.seat_person(p_conversation.id, person, p_conversation.last_seq + 1, p_conversation.last_seq)
  from unnest(p_coach_id || p_people) as person
  where not exists (
    select
    from public.conversation_participants as p
    where p.conversation_id = p_conversation.id and p.user_id = person and p.left_by = p.user_id
  );
end;
$$;
comment on function private.keep_session_group(public.conversations, uuid, uuid[]) is
  'security definer: nobody may write participants. Brings the people of a session''s group up to date; its conversation is locked.';
revoke execute on function private.keep_session_group(public.conversations, uuid, uuid[])
from public, anon, authenticated, service_role;

create or replace function private.open_session_pair(p_session public.sessions, p_person uuid)
returns public.conversations
language plpgsql
security definer
set search_path = ''
as $$
declare
  v_conversation public.conversations;
begin
  v_conversation := private.open_conversation(
    private.pair_key(p_session.coach_id, p_person, p_session.id), 'direct', p_session.title, p_session.id, p_session.coach_id);
  perform private.seat_person(v_conversation.id, person, 1, 0) from unnest(array[p_session.coach_id, p_person]) as person;
  return v_conversation;
end;
$$;
comment on function private.open_session_pair(public.sessions, uuid) is
  'security definer: nobody may insert conversations. The coach''s conversation with one attendee of a session.';
revoke execute on function private.open_session_pair(public.sessions, uuid) from public, anon, authenticated, service_role;

create or replace function private.sync_session_conversations(p_session_id uuid)
returns void
language plpgsql
security definer
set search_path = ''
as $$
declare
  v_session public.sessions;
  v_group public.conversations;
  v_people uuid[];
begin
  if not exists (select from public.conversation_contexts as x where x.session_id = p_session_id) then
    return;
  end if;
  select * into v_session from public.sessions as s where s.id = p_session_id;
  -- Who was there when it was called off may still talk about that.
  if v_session.status in ('cancelled', 'rescheduled') then
    return;
  end if;
  select * into v_group from public.conversations as c where c.direct_key = 'session:' || p_session_id::text for update;
  -- Under the lock: whoever waited for it would otherwise put back what others have changed meanwhile.
  v_people := private.session_people(p_session_id);
  if v_group.id is not null then
    if not v_session.roster_visible then
      -- The roster was closed after the group was opened: whoever is there stays, nobody is added to them.
      v_people := array(
        select p.user_id
        from public.conversation_participants as p
        where p.conversation_id = v_group.id and p.left_at is null and p.user_id = any (v_people));
    end if;
    perform private.keep_session_group(v_group, v_session.coach_id, v_people);
    return;
  end if;
  perform private.open_session_pair(v_session, person)
  from unnest(v_people) as person
  where not exists (
    select
    from public.conversations as c
    where c.direct_key = private.pair_key(v_session.coach_id, person, p_session_id)
  );
end;
$$;
comment on function private.sync_session_conversations(uuid) is
  'security definer: reads seats and writes participants. Where a session has conversations, they follow its attendees.';
revoke execute on function private.sync_session_conversations(uuid) from public, anon, authenticated, service_role;

create or replace function private.session_attendees_converse()
returns trigger
language plpgsql
security definer
set search_path = ''
as $$
begin
  perform private.sync_session_conversations(coalesce(new.session_id, old.session_id));
  return null;
end;
$$;
comment on function private.session_attendees_converse() is
  'security definer: writes participants, which nobody may. Trigger: a seat taken or given up moves its person into or out of the session''s conversation.';
revoke execute on function private.session_attendees_converse() from public, anon, authenticated, service_role;

drop trigger if exists session_attendees_converse on public.session_attendees;
create trigger session_attendees_converse after insert or update of status, cancelled_at, user_id or delete on public.session_attendees
for each row execute function private.session_attendees_converse();

create or replace function public.open_session_conversation(p_session_id uuid)
returns setof public.conversations
language plpgsql
security definer
set search_path = ''
as $$
declare
  v_session public.sessions;
  v_conversation public.conversations;
  v_people uuid[];
begin
  select * into v_session from public.sessions as s where s.id = p_session_id and s.coach_id = private.me();
  if not found then
    perform private.fail(404, 'not_found', 'Not found.');
  end if;
  if v_session.status in ('cancelled', 'rescheduled') then
    perform private.fail(409, 'session_closed', 'This session does not take place.');
  end if;
  v_people := private.session_people(p_session_id);
  if v_session.type = 'individual' or not v_session.roster_visible then
    -- Attendees must not learn of one another, so each has the coach to themselves.
    return query
    select c.* from unnest(v_people) as person cross join lateral private.open_session_pair(v_session, person) as c;
    return;
  end if;
  v_conversation := private.open_conversation(
    'session:' || p_session_id::text, 'group', v_session.title, p_session_id, v_session.coach_id);
  perform private.keep_session_group(v_conversation, v_session.coach_id, v_people);
  return next v_conversation;
end;
$$;
comment on function public.open_session_conversation(uuid) is
  'security definer: reads seats and makes conversations, which nobody may insert. The coach''s: one group where the roster is visible, else one conversation with each attendee who accepted. They follow the attendees from then on.';
revoke execute on function public.open_session_conversation(uuid) from public, anon, authenticated, service_role;
grant execute on function public.open_session_conversation(uuid) to authenticated;
