-- The moves of a session, each by whom it belongs to.

create or replace function private.move_session(
  p_session_id uuid, p_to public.session_status, p_reason text default null, p_by uuid default private.me()
)
returns void
language plpgsql
volatile
security definer
set search_path = ''
as $$
begin
  update public.sessions
  set status = p_to,
    cancellation_reason = case when p_to = 'cancelled' then left(p_reason, 2000) else cancellation_reason end,
    cancelled_by = case when p_to = 'cancelled' then p_by else cancelled_by end
  where id = p_session_id and status <> p_to;
  if not found then
    perform private.fail(409, 'session_state_conflict', format('The session is %s already.', p_to));
  end if;
end;
$$;
revoke execute on function private.move_session(uuid, public.session_status, text, uuid)
  from public, anon, authenticated, service_role;
comment on function private.move_session(uuid, public.session_status, text, uuid) is
  'security definer: called by functions that know whose session it is. One move; the trigger says whether it is allowed. p_by is who wanted it cancelled, whoever does it.';

create or replace function private.move_coached_session(p_session_id uuid, p_to public.session_status)
returns uuid
language plpgsql
volatile
security definer
set search_path = ''
as $$
begin
  perform private.session_of_party(p_session_id, true);
  perform private.move_session(p_session_id, p_to);
  return p_session_id;
end;
$$;
revoke execute on function private.move_coached_session(uuid, public.session_status) from public, anon, authenticated, service_role;
comment on function private.move_coached_session(uuid, public.session_status) is
  'security definer: called by definer functions. One move of a session of the calling coach; 404 for every other.';

create or replace function public.start_session(p_session_id uuid)
returns uuid
language sql
volatile
security definer
set search_path = ''
as $$
  select private.move_coached_session(p_session_id, 'in_progress');
$$;
revoke execute on function public.start_session(uuid) from public, anon, authenticated, service_role;
grant execute on function public.start_session(uuid) to authenticated;
comment on function public.start_session(uuid) is
  'security definer: nobody may update the status of a session. The coach starts it, an hour before its time at the earliest.';

create or replace function public.complete_session(p_session_id uuid)
returns uuid
language sql
volatile
security definer
set search_path = ''
as $$
  select private.move_coached_session(p_session_id, 'completed');
$$;
revoke execute on function public.complete_session(uuid) from public, anon, authenticated, service_role;
grant execute on function public.complete_session(uuid) to authenticated;
comment on function public.complete_session(uuid) is
  'security definer: nobody may update the status of a session. The coach completes what is running, or what was never started and is past its start.';

create or replace function public.mark_no_show(p_session_id uuid)
returns uuid
language sql
volatile
security definer
set search_path = ''
as $$
  select private.move_coached_session(p_session_id, 'no_show');
$$;
revoke execute on function public.mark_no_show(uuid) from public, anon, authenticated, service_role;
grant execute on function public.mark_no_show(uuid) to authenticated;
comment on function public.mark_no_show(uuid) is
  'security definer: nobody may update the status of a session. The coach records that nobody came, not before the start.';

create or replace function public.cancel_session(p_session_id uuid, p_reason text default null, p_for_client boolean default false)
returns uuid
language plpgsql
volatile
security definer
set search_path = ''
as $$
declare
  v_session public.sessions := private.session_of_party(p_session_id, false);
begin
  if p_for_client and v_session.client_id is null then
    perform private.fail(
      422, 'group_has_no_client', 'A group session has no one client who could want it cancelled.', 'Cancel the seat of whoever asked.');
  end if;
  perform private.move_session(
    p_session_id, 'cancelled', p_reason, case when p_for_client then v_session.client_id else private.me() end);
  return p_session_id;
end;
$$;
revoke execute on function public.cancel_session(uuid, text, boolean) from public, anon, authenticated, service_role;
grant execute on function public.cancel_session(uuid, text, boolean) to authenticated;
comment on function public.cancel_session(uuid, text, boolean) is
  'security definer: nobody may update the status of a session. The coach, or until the start the client of an individual session, cancels it. p_for_client: the coach does so because the client asked, and the terms count as if the client had. Attendees of a group give up their seat instead.';

create or replace function private.count_move(p_session public.sessions)
returns void
language plpgsql
volatile
security definer
set search_path = ''
as $$
declare
  v_seat public.session_attendees;
  v_tier jsonb;
begin
  select * into v_seat from public.session_attendees where session_id = p_session.id and user_id = private.me() for no key update;
  select c.tier into v_tier
  from private.terms_cost(v_seat.terms, p_session.scheduled_at - now(), v_seat.price_cents, v_seat.currency) as c;
  if v_seat.moves_made >= (v_seat.terms ->> 'free_moves')::integer then
    perform private.fail(409, 'moves_used_up', format('A session can be moved %s times; ask the coach.', v_seat.moves_made));
  elsif v_tier is not null and v_seat.terms ->> 'late_moves' = 'refuse' then
    perform private.fail(409, 'move_too_late', format('A session can be moved until %s hours before; ask the coach.', v_tier ->> 'hours'));
  end if;
  update public.session_attendees set moves_made = moves_made + 1 where id = v_seat.id;
  perform private.record_outcome(v_seat.id, 'moved', p_session.scheduled_at, private.me());
end;
$$;
revoke execute on function private.count_move(public.sessions) from public, anon, authenticated, service_role;
comment on function private.count_move(public.sessions) is
  'security definer: called by definer functions. Holds a client''s move to the terms of their seat, counts it, and writes what a late one costs.';

create or replace function public.reschedule_session(
  p_session_id uuid, p_starts_at timestamptz, p_duration_minutes integer default null
)
returns uuid
language plpgsql
volatile
security definer
set search_path = ''
as $$
declare
  v_coach_id uuid;
  v_session public.sessions;
  v_template public.session_templates;
begin
  -- Two sessions that change places would wait for each other's old block. Moves of one coach go one at a time, and
  -- this lock comes before that of the row.
  select s.coach_id into v_coach_id from public.sessions as s
  where s.id = p_session_id and (s.coach_id = private.me() or s.client_id = private.me());
  perform private.lock_coach_time(v_coach_id);
  v_session := private.session_of_party(p_session_id, false);
  if v_session.status <> 'scheduled' then
    perform private.fail(409, 'session_state_conflict', format('A session that is %s cannot be moved.', v_session.status));
  elsif p_starts_at is null then
    perform private.fail(422, 'session_in_past', 'Say when the session starts.');
  elsif (p_starts_at, coalesce(p_duration_minutes, v_session.duration_minutes))
    = (v_session.scheduled_at, v_session.duration_minutes) then
    -- It is there already: that uses up no move and costs nothing.
    return p_session_id;
  end if;
  if v_session.coach_id is distinct from private.me() then
    if v_session.scheduled_at <= now() then
      perform private.fail(409, 'session_state_conflict', 'The session has started; ask the coach.');
    elsif v_session.template_id is null or p_duration_minutes <> v_session.duration_minutes then
      perform private.fail(422, 'slot_not_offered', 'Ask the coach for another time.');
    end if;
    v_template := private.bookable_template(v_session.template_id);
    if v_template.booking_mode = 'request' then
      perform private.fail(422, 'approval_needed', 'The coach wants to be asked first.', 'Write to the coach.');
    end if;
    -- The session keeps the length it was booked with, whatever the template says by now.
    v_template.default_duration_minutes := v_session.duration_minutes;
    perform private.check_slot(v_template, p_starts_at, p_session_id);
    perform private.count_move(v_session);
  end if;
  update public.sessions
  set scheduled_at = p_starts_at, duration_minutes = coalesce(p_duration_minutes, duration_minutes)
  where id = p_session_id;
  return p_session_id;
end;
$$;
revoke execute on function public.reschedule_session(uuid, timestamptz, integer) from public, anon, authenticated, service_role;
grant execute on function public.reschedule_session(uuid, timestamptz, integer) to authenticated;
comment on function public.reschedule_session(uuid, timestamptz, integer) is
  'security definer: nobody may update the time of a session. The coach moves it to any free time, the client of an individual session to a slot on offer. The row stays; session_events keeps where it was.';
