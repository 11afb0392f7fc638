create or replace function private.lock_my_group(p_conversation_id uuid, p_led boolean)
returns public.conversations
language plpgsql
security definer
set search_path = ''
as $$
declare
  v_conversation public.conversations;
begin
  if not coalesce(
    p_conversation_id = any (
      case when p_led then private.my_led_conversation_ids() else private.my_conversation_ids() end), false) then
    perform private.fail(404, 'not_found', 'Not found.');
  end if;
  select * into v_conversation from public.conversations as c where c.id = p_conversation_id for update;
  if v_conversation.type <> 'group' then
    perform private.fail(409, 'conversation_direct', 'A conversation of two keeps its two people; archive or mute it instead.');
  end if;
  -- What was changed by hand would hold until the next seat changes, whosever it is.
  if p_led and exists (
    select
    from public.conversation_contexts as x
    join public.sessions as s on s.id = x.session_id and s.status not in ('cancelled', 'rescheduled')
    where x.conversation_id = p_conversation_id and v_conversation.direct_key = 'session:' || s.id::text
  ) then
    perform private.fail(
      409, 'people_follow_seats', 'The people of this conversation are those of its session; cancel or give the seat instead.');
  end if;
  return v_conversation;
end;
$$;
comment on function private.lock_my_group(uuid, boolean) is
  'security definer: locks a conversation that the caller may not update. The caller''s group, or a refusal.';
revoke execute on function private.lock_my_group(uuid, boolean) from public, anon, authenticated, service_role;

create or replace function public.leave_conversation(p_conversation_id uuid)
returns void
language plpgsql
security definer
set search_path = ''
as $$
begin
  perform private.lock_my_group(p_conversation_id, false);
  if exists (
    select
    from public.conversation_participants as p
    where p.conversation_id = p_conversation_id and p.user_id = private.me() and p.role in ('coach', 'admin')
  ) and not exists (
    select
    from public.conversation_participants as p
    where p.conversation_id = p_conversation_id and p.user_id <> private.me() and p.role in ('coach', 'admin') and p.left_at is null
  ) then
    perform private.fail(409, 'group_needs_lead', 'Nobody else leads this group; archive or mute it instead.');
  end if;
  update public.conversation_participants as p
  set left_at = now(), left_by = p.user_id
  where p.conversation_id = p_conversation_id and p.user_id = private.me() and p.left_at is null;
end;
$$;
comment on function public.leave_conversation(uuid) is
  'security definer: ends a participation, which nobody may update. The caller leaves a group and from then on reads nothing of it.';
revoke execute on function public.leave_conversation(uuid) from public, anon, authenticated, service_role;
grant execute on function public.leave_conversation(uuid) to authenticated;

create or replace function public.add_to_conversation(
  p_conversation_id uuid, p_user_ids uuid[], p_share_history boolean default false
)
returns void
language plpgsql
security definer
set search_path = ''
as $$
declare
  v_conversation public.conversations;
begin
  v_conversation := private.lock_my_group(p_conversation_id, true);
  if coalesce(cardinality(p_user_ids), 0) not between 1 and 200 then
    perform private.fail(422, 'people_invalid', 'Name between 1 and 200 people.');
  end if;
  if exists (select from unnest(p_user_ids) as person where not coalesce(private.may_write_to(person), false)) then
    perform private.fail(404, 'person_not_found', 'There is no such person for you to write to.');
  end if;
  perform private.seat_person(
    p_conversation_id, person,
    case when p_share_history then 1 else v_conversation.last_seq + 1 end,
    v_conversation.last_seq)
  from (select distinct unnest(p_user_ids)) as people (person);
end;
$$;
comment on function public.add_to_conversation(uuid, uuid[], boolean) is
  'security definer: nobody may insert participants. The coach brings clients into a group; what was said before stays hidden unless shared.';
revoke execute on function public.add_to_conversation(uuid, uuid[], boolean) from public, anon, authenticated, service_role;
grant execute on function public.add_to_conversation(uuid, uuid[], boolean) to authenticated;

create or replace function public.remove_from_conversation(p_conversation_id uuid, p_user_id uuid)
returns void
language plpgsql
security definer
set search_path = ''
as $$
begin
  perform private.lock_my_group(p_conversation_id, true);
  update public.conversation_participants as p
  set left_at = now(), left_by = private.me()
  where p.conversation_id = p_conversation_id and p.user_id = p_user_id and p.left_at is null and p.user_id <> private.me();
  if not found then
    perform private.fail(404, 'not_found', 'Not found.');
  end if;
end;
$$;
comment on function public.remove_from_conversation(uuid, uuid) is
  'security definer: ends a participation, which nobody may update. The coach takes somebody out of a group.';
revoke execute on function public.remove_from_conversation(uuid, uuid) from public, anon, authenticated, service_role;
grant execute on function public.remove_from_conversation(uuid, uuid) to authenticated;
