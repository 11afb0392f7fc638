create or replace function private.sessions_tell()
returns trigger
language plpgsql
security definer
set search_path = ''
as $$
declare
  about jsonb := jsonb_build_object('session_id', new.id);
  link text := '/sessions/' || new.id;
  actor uuid := private.me();
  kind text;
begin
  -- Imports and jobs tell nobody: only what people do is news.
  if not private.acting_as_api() then
    return null;
  end if;
  if tg_op = 'INSERT' then
    perform private.tell(new.coach_id, 'session_booked', link, about, private.called(actor), new.title, new.scheduled_at);
    perform private.tell(new.client_id, 'session_planned', link, about, private.called(actor), new.title, new.scheduled_at);
    return null;
  end if;
  kind := case
    when new.status <> old.status and new.status = 'cancelled' then 'session_cancelled'
    when new.status = old.status and new.scheduled_at <> old.scheduled_at then 'session_moved'
  end;
  if kind is not null then
    perform private.tell(
      a.user_id, kind, link, about, private.called(actor), new.title,
      case kind when 'session_moved' then new.scheduled_at else old.scheduled_at end
    )
    from public.session_attendees as a
    where a.session_id = new.id and a.user_id is not null and a.cancelled_at is null and a.status <> 'declined';
  end if;
  return null;
end;
$$;
comment on function private.sessions_tell() is
  'security definer: nobody may insert notifications. Trigger: tells the others of a session when it is booked, planned, moved or cancelled.';
revoke execute on function private.sessions_tell() from public, anon, authenticated, service_role;

-- After sessions_after_…, which make the seats: triggers of one event run by name.
drop trigger if exists sessions_tell on public.sessions;
create trigger sessions_tell after insert or update of status, scheduled_at on public.sessions
for each row execute function private.sessions_tell();

create or replace function private.booking_requests_tell()
returns trigger
language plpgsql
security definer
set search_path = ''
as $$
declare
  about jsonb := jsonb_build_object('request_id', new.id);
  title text;
begin
  if not private.acting_as_api() or new.kind <> 'request' then
    return null;
  end if;
  select t.title into title from public.session_templates as t where t.id = new.template_id;
  if tg_op = 'INSERT' then
    perform private.tell(
      new.coach_id, 'session_requested', '/booking-requests/' || new.id, about, private.called(new.client_id), title, new.starts_at);
  elsif new.status = 'declined' and old.status = 'pending' then
    perform private.tell(
      new.client_id, 'request_declined', '/booking-requests/' || new.id, about, private.called(new.coach_id), title, new.starts_at);
  end if;
  return null;
end;
$$;
comment on function private.booking_requests_tell() is
  'security definer: nobody may insert notifications. Trigger: tells the coach that a time is asked for, and the client of a no; a yes is told by the session.';
revoke execute on function private.booking_requests_tell() from public, anon, authenticated, service_role;

drop trigger if exists booking_requests_tell on public.booking_requests;
create trigger booking_requests_tell after insert or update of status on public.booking_requests
for each row execute function private.booking_requests_tell();

create or replace function private.session_attendees_tell()
returns trigger
language plpgsql
security definer
set search_path = ''
as $$
declare
  its_session public.sessions%rowtype;
  about jsonb := jsonb_build_object('session_id', new.session_id, 'attendee_id', new.id);
  link text := '/sessions/' || new.session_id;
  kind text;
begin
  if not private.acting_as_api() or new.role = 'coach' then
    return null;
  end if;
  if tg_op = 'INSERT' then
    kind := case when new.status = 'invited' then 'session_invited' end;
  else
    kind := case
      when new.cancelled_at is not null and old.cancelled_at is null then
        case when private.me() is not distinct from new.coach_id then 'seat_taken_away' else 'seat_given_up' end
      when new.cancelled_at is null and new.status = 'invited'
        and (old.status <> 'invited' or old.cancelled_at is not null) then 'session_invited'
      when new.status <> old.status and new.status in ('confirmed', 'declined') and old.status <> 'checked_in' then
        'seat_' || new.status
    end;
  end if;
  if kind is null then
    return null;
  end if;
  select * into its_session from public.sessions as s where s.id = new.session_id;
  if kind in ('session_invited', 'seat_taken_away') then
    perform private.tell(
      new.user_id, kind, link, about, private.called(new.coach_id), its_session.title, its_session.scheduled_at
    );
  else
    perform private.tell(
      new.coach_id, kind, link, about, private.seat_name(new), its_session.title, its_session.scheduled_at
    );
  end if;
  return null;
end;
$$;
comment on function private.session_attendees_tell() is
  'security definer: nobody may insert notifications. Trigger: tells the invited of an invitation or its end, and the coach of the answer.';
revoke execute on function private.session_attendees_tell() from public, anon, authenticated, service_role;

drop trigger if exists session_attendees_tell on public.session_attendees;
create trigger session_attendees_tell after insert or update of status, cancelled_at on public.session_attendees
for each row execute function private.session_attendees_tell();
