-- Coming, and not coming after all.

create or replace function private.coached_seat(p_attendee_id uuid)
returns public.session_attendees
language plpgsql
volatile
security definer
set search_path = ''
as $$
declare
  v_seat public.session_attendees;
begin
  perform private.session_of_seat(p_attendee_id);
  select * into v_seat from public.session_attendees
  where id = p_attendee_id and coach_id = private.me() and role <> 'coach' for no key update;
  if v_seat.id is null then
    perform private.fail(404, 'not_found', 'There is no such thing, or it is not yours.');
  end if;
  return v_seat;
end;
$$;
revoke execute on function private.coached_seat(uuid) from public, anon, authenticated, service_role;
comment on function private.coached_seat(uuid) is
  'security definer: called by definer functions. A seat in a session of the calling coach, locked after its session; 404 for every other.';

create or replace function public.cancel_attendance(
  p_session_id uuid default null, p_attendee_id uuid default null, p_reason text default null, p_for_client boolean default false
)
returns uuid
language plpgsql
volatile
security definer
set search_path = ''
as $$
declare
  v_session public.sessions;
  v_seat public.session_attendees;
begin
  if (p_session_id is null) = (p_attendee_id is null) then
    perform private.fail(422, 'attendee_unclear', 'Name either the session whose seat you give up or the seat you take away.');
  end if;
  -- One's own seat by its session, somebody else's as the coach.
  select s.* into v_session from public.sessions as s
  join public.session_attendees as a on a.session_id = s.id
  where a.role <> 'coach' and a.cancelled_at is null
    and (
      (a.session_id = p_session_id and a.user_id = private.me()) or (a.id = p_attendee_id and s.coach_id = private.me())
    )
  for no key update of s;
  select a.* into v_seat from public.session_attendees as a
  where a.session_id = v_session.id and a.role <> 'coach' and a.cancelled_at is null
    and (a.id = p_attendee_id or (p_attendee_id is null and a.user_id = private.me()));
  if v_seat.id is null then
    perform private.fail(404, 'not_found', 'There is no such thing, or it is not yours.');
  elsif v_seat.user_id = v_session.client_id then
    perform private.fail(409, 'seat_is_the_session', 'An individual session is cancelled as a whole.', 'Cancel the session instead.');
  elsif v_session.status <> 'scheduled' or v_seat.status = 'checked_in'
    or (p_attendee_id is null and v_session.scheduled_at <= now()) then
    perform private.fail(409, 'session_not_open', 'Seats are given up before the session.');
  end if;
  update public.session_attendees
  set cancelled_at = now(), cancelled_by = case when p_for_client then v_seat.user_id else private.me() end,
    cancellation_reason = left(p_reason, 2000)
  where id = v_seat.id;
  return v_seat.id;
end;
$$;
revoke execute on function public.cancel_attendance(uuid, uuid, text, boolean) from public, anon, authenticated, service_role;
grant execute on function public.cancel_attendance(uuid, uuid, text, boolean) to authenticated;
comment on function public.cancel_attendance(uuid, uuid, text, boolean) is
  'security definer: nobody may update seats. Somebody gives up their own seat until the session starts, or its coach takes a seat away. p_for_client: because its person asked, and the terms count as if they had done it themselves. The place is free again; what was billed stays billed. Gives the seat''s id.';
