-- Recording who came. The answer to the invitation stays beneath it: an undo brings it back as it was.

create or replace function private.write_attendance(
  p_seat public.session_attendees, p_kind text, p_nonce text, p_at timestamptz
)
returns uuid
language plpgsql
volatile
security definer
set search_path = ''
as $$
declare
  v_in_force public.attendance_events := private.attendance_in_force(p_seat.id);
  v_id uuid := private.append_attendance(p_seat, p_kind, p_nonce, p_at);
begin
  update public.session_attendees as a
  set
    attendance = case when p_kind = 'undo' then v_in_force.attendance_before else p_kind end,
    status = case p_kind when 'in' then 'checked_in' when 'undo' then v_in_force.status_before else a.status end,
    -- The first coming in counts; whoever went out and came back keeps it.
    checked_in_at = case p_kind
      when 'in' then coalesce(a.checked_in_at, p_at) when 'undo' then v_in_force.checked_in_before else a.checked_in_at
    end
  where a.id = p_seat.id;
  return v_id;
end;
$$;
revoke execute on function private.write_attendance(public.session_attendees, text, text, timestamptz)
  from public, anon, authenticated, service_role;
comment on function private.write_attendance(public.session_attendees, text, text, timestamptz) is
  'security definer: nobody may insert records or update the status of a seat. One record and what it makes of the seat; the caller holds the locks of session and seat.';

create or replace function private.check_attendance(p_seat public.session_attendees, p_kind text)
returns void
language plpgsql
stable
security definer
set search_path = ''
as $$
declare
  v_session public.sessions;
begin
  select * into v_session from public.sessions where id = p_seat.session_id;
  if v_session.status in ('cancelled', 'rescheduled', 'no_show') then
    perform private.fail(409, 'session_not_open', 'The session did not take place.');
  elsif p_seat.cancelled_at is not null then
    perform private.fail(409, 'seat_state_conflict', 'The seat was given up.');
  elsif p_kind = 'in' and p_seat.status = 'declined' then
    perform private.fail(409, 'seat_state_conflict', 'Whoever declined has no seat to be checked in to.');
  elsif p_kind = 'out' and p_seat.attendance is distinct from 'in' then
    perform private.fail(409, 'attendance_conflict', 'Nobody goes out who did not come in.');
  elsif p_kind = 'no_show' and p_seat.status <> 'confirmed' then
    perform private.fail(409, 'attendance_conflict', case p_seat.status
      when 'checked_in' then 'They came; take the check-in back first.'
      else 'Only who confirmed can be missed.' end);
  elsif p_kind = 'no_show' and v_session.scheduled_at > now() then
    perform private.fail(409, 'session_not_started', 'The session has not started yet.');
  elsif p_kind = 'undo' and p_seat.attendance is null then
    perform private.fail(409, 'attendance_conflict', 'Nothing is recorded that could be taken back.');
  end if;
end;
$$;
revoke execute on function private.check_attendance(public.session_attendees, text)
  from public, anon, authenticated, service_role;
comment on function private.check_attendance(public.session_attendees, text) is
  'security definer: called by definer functions. Refuses a record that the seat or its session does not allow.';

create or replace function public.record_attendance(
  p_attendee_id uuid, p_kind text, p_nonce text default null, p_at timestamptz default null
)
returns uuid
language plpgsql
volatile
security definer
set search_path = ''
as $$
declare
  v_seat public.session_attendees := private.coached_seat(p_attendee_id);
  v_known public.attendance_events;
begin
  if p_kind is null or p_kind not in ('in', 'out', 'no_show', 'undo') then
    perform private.fail(422, 'attendance_unknown', 'Attendance is in, out, no_show or undo.');
  elsif char_length(p_nonce) not between 1 and 200 then
    perform private.fail(422, 'nonce_invalid', 'A nonce has 1 to 200 characters.');
  elsif p_at > now() + interval '1 minute' or not isfinite(p_at) then
    perform private.fail(422, 'attendance_in_future', 'Only what has happened is recorded.');
  end if;
  -- The seat is locked, so that of two taps at once the second finds what the first has written.
  select * into v_known from public.attendance_events where attendee_id = p_attendee_id and nonce = p_nonce;
  if v_known.id is not null then
    if v_known.kind <> p_kind then
      perform private.fail(409, 'nonce_reused', 'That nonce stands for another record of this seat.');
    end if;
    return v_known.id;
  end if;
  perform private.check_attendance(v_seat, p_kind);
  if v_seat.attendance = p_kind then
    return (private.attendance_in_force(p_attendee_id)).id;
  end if;
  return private.write_attendance(
    v_seat, p_kind, coalesce(p_nonce, gen_random_uuid()::text), coalesce(least(p_at, now()), now()));
end;
$$;
revoke execute on function public.record_attendance(uuid, text, text, timestamptz) from public, anon, authenticated, service_role;
grant execute on function public.record_attendance(uuid, text, text, timestamptz) to authenticated;
comment on function public.record_attendance(uuid, text, text, timestamptz) is
  'security definer: nobody may insert records or update the status of a seat. The coach records that somebody came (in), left (out), did not come (no_show), or takes the last of these back (undo). The same nonce twice, or what is in force already, writes nothing more. Gives the record''s id.';

create or replace function private.derive_no_shows(p_limit integer default 500)
returns integer
language plpgsql
volatile
security definer
set search_path = ''
as $$
declare
  v_session public.sessions;
  v_seat public.session_attendees;
  v_count integer := 0;
begin
  -- A session between two that is running or done has had its client; only who is on a list can be missed there.
  -- Older than a month is history: a worker that was away that long does not rewrite it.
  for v_session in
    select s.* from public.sessions as s
    where s.no_show_grace_minutes is not null and s.ends_at > now() - interval '31 days'
      and s.ends_at + make_interval(mins => s.no_show_grace_minutes) <= now()
      and (s.status = 'scheduled' or (s.type = 'group' and s.status in ('in_progress', 'completed')))
      and exists (
        select from public.session_attendees as a
        where a.session_id = s.id and private.may_be_missed(a, s.ends_at)
      )
    order by s.ends_at
    limit p_limit
    for no key update of s skip locked
  loop
    for v_seat in
      select a.* from public.session_attendees as a where a.session_id = v_session.id order by a.id for no key update
    loop
      if private.may_be_missed(v_seat, v_session.ends_at) then
        perform private.write_attendance(
          v_seat, 'no_show', 'derived:' || extract(epoch from v_session.ends_at)::bigint, v_session.ends_at);
        v_count := v_count + 1;
      end if;
    end loop;
  end loop;
  return v_count;
end;
$$;
revoke execute on function private.derive_no_shows(integer) from public, anon, authenticated, service_role;
grant execute on function private.derive_no_shows(integer) to service_role;
comment on function private.derive_no_shows(integer) is
  'security definer: the worker''s housekeeping. Records a no-show for who confirmed and was not checked in when a session''s grace is over, at most once for each end of a session: what a coach took back stays taken back. Gives the number recorded.';

create or replace function private.may_be_missed(p_seat public.session_attendees, p_ends_at timestamptz)
returns boolean
language sql
stable
security definer
set search_path = ''
as $$
  select p_seat.role <> 'coach' and p_seat.status = 'confirmed' and p_seat.cancelled_at is null
    and p_seat.attendance is null
    and not exists (
      select from public.attendance_events as e
      where e.attendee_id = p_seat.id and e.nonce = 'derived:' || extract(epoch from p_ends_at)::bigint
    );
$$;
revoke execute on function private.may_be_missed(public.session_attendees, timestamptz)
  from public, anon, authenticated, service_role;
comment on function private.may_be_missed(public.session_attendees, timestamptz) is
  'security definer: called by definer functions. Whether a seat without attendance counts as a no-show: confirmed, and not derived before for this end.';

create or replace function private.sessions_attendance()
returns trigger
language plpgsql
security definer
set search_path = ''
as $$
declare
  v_seat public.session_attendees;
begin
  for v_seat in
    select a.* from public.session_attendees as a
    where a.session_id = new.id and a.role <> 'coach' and a.cancelled_at is null order by a.id for no key update
  loop
    if new.status = 'no_show' and v_seat.status = 'confirmed' and v_seat.attendance is null then
      perform private.write_attendance(v_seat, 'no_show', 'session:' || gen_random_uuid(), now());
    elsif v_seat.attendance = 'no_show' and (new.status = 'cancelled' or new.scheduled_at > now()) then
      -- Cancelled, or moved to a time that has not come: nobody was missed.
      perform private.write_attendance(v_seat, 'undo', 'session:' || gen_random_uuid(), now());
    end if;
  end loop;
  return null;
end;
$$;
revoke execute on function private.sessions_attendance() from public, anon, authenticated, service_role;
comment on function private.sessions_attendance() is
  'security definer: nobody may insert records. Trigger: attendance follows a session that is missed as a whole, is cancelled, or moves ahead.';

-- After sessions_after_…, and only where the session has something to say about attendance.
drop trigger if exists sessions_attendance on public.sessions;
create trigger sessions_attendance after update of status, scheduled_at on public.sessions
  for each row when (
    (new.status is distinct from old.status and new.status in ('no_show', 'cancelled'))
    or (new.scheduled_at > old.scheduled_at and new.status = 'scheduled')
  )
  execute function private.sessions_attendance();
