-- The letter that is due about a seat, if one is, and what became of it. For the worker.

create or replace function private.wanted_invitation(
  p_attendee_id uuid, out email text, out method text, out content jsonb
)
language plpgsql
stable
security definer
set search_path = ''
as $$
declare
  v_seat public.session_attendees;
  v_session public.sessions;
  v_user public.users;
  v_coach public.users;
begin
  select * into v_seat from public.session_attendees as a where a.id = p_attendee_id and a.role <> 'coach';
  select * into v_session from public.sessions as s where s.id = v_seat.session_id;
  select * into v_user from public.users as u where u.id = v_seat.user_id;
  select * into v_coach from public.users as u where u.id = v_session.coach_id;
  -- An address that nobody gave gets nothing, nor one whose owner was shut out or wants no such mail.
  if v_user.id is null or (v_user.status = 'active' and not exists (
    select from public.notification_preferences as n
    where n.user_id = v_user.id and not (n.email_enabled and n.email_session_updates)
  )) then
    email := coalesce(v_user.email, v_seat.email);
  end if;
  method := case
    when v_session.status = 'scheduled' and v_seat.cancelled_at is null and v_seat.status <> 'declined' then 'REQUEST'
    when v_session.status in ('scheduled', 'cancelled', 'rescheduled') then 'CANCEL'
  end;
  content := jsonb_build_object(
    'title', v_session.title, 'description', v_session.description, 'location', v_session.location,
    'meeting_url', v_session.meeting_url, 'starts_at', v_session.scheduled_at, 'ends_at', v_session.ends_at,
    'timezone', coalesce(v_user.timezone, v_session.timezone, 'UTC'), 'language', coalesce(v_user.language, v_coach.language),
    -- Who came is no news for their calendar.
    'status', case v_seat.status when 'checked_in' then 'confirmed' else v_seat.status::text end,
    'over_as', case
      when v_session.status <> 'scheduled' then 'session'
      when v_seat.cancelled_by = v_session.coach_id then 'taken'
      when v_seat.cancelled_at is not null or v_seat.status = 'declined' then 'given_up'
    end,
    'reason', coalesce(v_seat.cancellation_reason, v_session.cancellation_reason),
    'name', private.seat_name(v_seat), 'coach_name', coalesce(private.called(v_coach.id), 'Loom'),
    'coach_email', v_coach.email, 'is_individual', v_session.type = 'individual');
end;
$$;
revoke execute on function private.wanted_invitation(uuid) from public, anon, authenticated, service_role;
comment on function private.wanted_invitation(uuid) is
  'security definer: called by definer functions. What a person''s calendar should say about their seat now: to which address (null: they are not to be written to), as what (null: it is running or over, and stands as it is), and what.';

create or replace function private.prepare_calendar_letter(p_attendee_id uuid)
returns table (
  attendee_id uuid, email text, method text, sequence integer, prepared_at timestamptz, previous_status text, content jsonb,
  links jsonb
)
language plpgsql
volatile
security definer
set search_path = ''
as $$
declare
  v_told private.calendar_invitations;
  v_email text;
  v_method text;
  v_content jsonb;
begin
  select i.* into v_told from private.calendar_invitations as i where i.attendee_id = p_attendee_id for update;
  select w.email, w.method, w.content into v_email, v_method, v_content from private.wanted_invitation(p_attendee_id) as w;
  -- Who was told something and is no longer to be written to is told once more that it is over, and so is an address
  -- that has changed: its calendar would keep the old time for ever.
  if v_told.method = 'REQUEST' and v_method is not null and v_told.email is distinct from v_email then
    v_email := v_told.email;
    v_method := 'CANCEL';
    v_content := v_told.content || '{"over_as": "moved_away"}';
  end if;
  -- What is running or over stands as it is, and who was told nothing has nothing to take back.
  if v_email is null or v_method is null
    or (v_method = 'CANCEL' and (v_told.method is null or (v_told.method = 'CANCEL' and v_told.sent_at is not null)))
    or greatest((v_content ->> 'ends_at')::timestamptz, (v_told.content ->> 'ends_at')::timestamptz) <= now() then
    return;
  end if;
  if (v_told.email, v_told.method, v_told.content) is distinct from (v_email, v_method, v_content) then
    insert into private.calendar_invitations as i (attendee_id, email, method, content)
    values (p_attendee_id, v_email, v_method, v_content)
    on conflict on constraint calendar_invitations_pkey do update
    set email = excluded.email, method = excluded.method, content = excluded.content, sequence = i.sequence + 1,
      previous = case when i.method = 'CANCEL' then null when i.sent_at is null then i.previous else i.content end,
      prepared_at = clock_timestamp(), sent_at = null, refused = null
    returning i.* into v_told;
  elsif v_told.sent_at is not null or v_told.refused is not null then
    return;
  end if;
  return query select
    p_attendee_id, v_told.email, v_told.method, v_told.sequence, v_told.prepared_at, v_told.previous ->> 'status',
    v_told.content,
    case v_told.content ->> 'over_as' when 'moved_away' then '{}' else private.issue_links(p_attendee_id) end;
end;
$$;
revoke execute on function private.prepare_calendar_letter(uuid) from public, anon, authenticated, service_role;
grant execute on function private.prepare_calendar_letter(uuid) to service_role;
comment on function private.prepare_calendar_letter(uuid) is
  'security definer: calendar_invitations and access_links are granted to nobody. For the mail job: the letter that a person''s calendar is due, noted before it is sent, with fresh links; a letter that did not go out comes again under its number. No row when nothing is due.';

create or replace function private.calendar_letter_sent(p_attendee_id uuid, p_sequence integer, p_refused text default null)
returns void
language sql
volatile
security definer
set search_path = ''
as $$
  -- Only what is still the last word: a change in the meantime has a letter of its own to come.
  update private.calendar_invitations
  set sent_at = case when p_refused is null then now() end, refused = left(p_refused, 500)
  where attendee_id = p_attendee_id and sequence = p_sequence;
$$;
revoke execute on function private.calendar_letter_sent(uuid, integer, text) from public, anon, authenticated, service_role;
grant execute on function private.calendar_letter_sent(uuid, integer, text) to service_role;
comment on function private.calendar_letter_sent(uuid, integer, text) is
  'security definer: calendar_invitations is granted to nobody. For the mail job: the letter of that number went out, or was refused for good.';
