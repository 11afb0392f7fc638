create or replace function private.may_write_to(p_user_id uuid)
returns boolean
language sql
stable
security definer
set search_path = ''
as $$
  select exists (
    select
    from public.users as u
    where u.id = p_user_id
      and u.status = 'active'
      and u.id <> private.me()
      and (private.i_am_admin() or u.id = any (private.my_client_ids()) or u.id = any (private.my_coach_ids()))
  )
$$;
comment on function private.may_write_to(uuid) is
  'security definer: reads the state of other accounts. Whether the active user may start a conversation with somebody: their clients or coaches; for an admin, anybody.';
revoke execute on function private.may_write_to(uuid) from public, anon, authenticated, service_role;

create or replace function private.seat_person(p_conversation_id uuid, p_user_id uuid, p_history_from_seq bigint, p_last_seq bigint)
returns void
language sql
security definer
set search_path = ''
as $$
  insert into public.conversation_participants as p (
    conversation_id, user_id, role, history_from_seq, last_read_seq)
  select
    p_conversation_id, u.id,
    case
      when u.role = 'admin' then 'admin'
      -- A coach leads their own groups and their own clients. In another coach's conversation they are one of the members.
      when u.role = 'coach' and exists (
        select
        from public.conversations as c
        where c.id = p_conversation_id
          and case c.type
            when 'group' then c.created_by = u.id
            else exists (
              select
              from public.coach_clients as r
              where r.coach_id = u.id and r.status = 'active' and position(r.client_id::text in c.direct_key) > 0
            )
          end
      ) then 'coach'
      else 'member'
    end,
    p_history_from_seq, p_last_seq
  from public.users as u
  where u.id = p_user_id
  on conflict (conversation_id, user_id) do update
  set
    left_at = null, left_by = null, joined_at = now(),
    history_from_seq = excluded.history_from_seq, last_read_seq = excluded.last_read_seq, own_after_read = 0
  where p.left_at is not null
$$;
comment on function private.seat_person(uuid, uuid, bigint, bigint) is
  'security definer: nobody may insert participants. Brings a person in, or back in; whoever is there stays as they are.';
revoke execute on function private.seat_person(uuid, uuid, bigint, bigint) from public, anon, authenticated, service_role;

create or replace function private.open_conversation(
  p_key text, p_type public.conversation_type, p_title text, p_session_id uuid default null, p_created_by uuid default null,
  p_program text default null
)
returns public.conversations
language plpgsql
security definer
set search_path = ''
as $$
declare
  v_conversation public.conversations;
begin
  -- Of two who start at once, one inserts and the other waits here for it, and then finds it.
  insert into public.conversations (type, title, created_by, direct_key)
  values (
    p_type,
    -- A session's title may be longer or of several lines. That must not keep anybody from taking a seat in it.
    case
      when p_session_id is null or (char_length(btrim(p_title)) between 1 and 200 and private.is_plain_line(p_title)) then p_title
    end,
    coalesce(p_created_by, private.me()), p_key)
  on conflict (direct_key) do nothing
  returning * into v_conversation;
  if not found then
    select * into strict v_conversation from public.conversations as c where c.direct_key = p_key for update;
    return v_conversation;
  end if;
  if p_session_id is not null then
    insert into public.conversation_contexts (conversation_id, context_type, session_id)
    values (v_conversation.id, 'session', p_session_id);
  elsif p_program is not null then
    insert into public.conversation_contexts (conversation_id, context_type, metadata)
    values (v_conversation.id, 'program', jsonb_build_object('program', p_program));
  end if;
  return v_conversation;
end;
$$;
comment on function private.open_conversation(text, public.conversation_type, text, uuid, uuid, text) is
  'security definer: nobody may insert conversations. The conversation of a key, made where there is none, locked.';
revoke execute on function private.open_conversation(text, public.conversation_type, text, uuid, uuid, text)
from public, anon, authenticated, service_role;

create or replace function public.start_direct_conversation(p_user_id uuid)
returns public.conversations
language plpgsql
security definer
set search_path = ''
as $$
declare
  v_me uuid := private.me();
  v_conversation public.conversations;
begin
  if v_me is null or not private.may_write_to(p_user_id) then
    perform private.fail(404, 'person_not_found', 'There is no such person for you to write to.');
  end if;
  v_conversation := private.open_conversation(private.pair_key(v_me, p_user_id), 'direct', null);
  perform private.seat_person(v_conversation.id, person, 1, 0) from unnest(array[v_me, p_user_id]) as person;
  return v_conversation;
end;
$$;
comment on function public.start_direct_conversation(uuid) is
  'security definer: makes conversations and participants, which nobody may insert. The one conversation of the caller with a client or coach.';
revoke execute on function public.start_direct_conversation(uuid) from public, anon, authenticated, service_role;
grant execute on function public.start_direct_conversation(uuid) to authenticated;

create or replace function public.create_group_conversation(p_title text, p_user_ids uuid[], p_program text default null)
returns public.conversations
language plpgsql
security definer
set search_path = ''
as $$
declare
  v_me uuid := private.me();
  v_conversation public.conversations;
begin
  if v_me is null or not (private.i_am_coach() or private.i_am_admin()) then
    perform private.fail(404, 'not_found', 'Not found.');
  end if;
  if p_title is null or char_length(btrim(p_title)) not between 1 and 200 then
    perform private.fail(422, 'title_invalid', 'A title has 1 to 200 characters.');
  end if;
  if char_length(btrim(p_program)) not between 1 and 200 or not private.is_plain_line(p_program) then
    perform private.fail(422, 'program_invalid', 'The name of a program has 1 to 200 characters, all of them visible.');
  end if;
  if coalesce(cardinality(p_user_ids), 0) not between 1 and 200 then
    perform private.fail(422, 'people_invalid', 'A group has between 1 and 200 people besides you.');
  end if;
  if exists (select from unnest(p_user_ids) as person where not coalesce(private.may_write_to(person), false)) then
    perform private.fail(404, 'person_not_found', 'There is no such person for you to write to.');
  end if;
  v_conversation := private.open_conversation(null, 'group', btrim(p_title), p_program => btrim(p_program));
  perform private.seat_person(v_conversation.id, person, 1, 0)
  from (select v_me union select unnest(p_user_ids)) as people (person);
  return v_conversation;
end;
$$;
comment on function public.create_group_conversation(text, uuid[], text) is
  'security definer: makes conversations and participants, which nobody may insert. A coach''s group of clients; they see one another''s names. With a program''s name, it is the group of that program.';
revoke execute on function public.create_group_conversation(text, uuid[], text) from public, anon, authenticated, service_role;
grant execute on function public.create_group_conversation(text, uuid[], text) to authenticated;
