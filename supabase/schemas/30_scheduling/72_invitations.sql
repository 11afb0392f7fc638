-- Asking people to a session, and their answers, with an account or with a link.

create or replace function private.session_of_party(p_session_id uuid, p_coach_only boolean)
returns public.sessions
language plpgsql
volatile
security definer
set search_path = ''
as $$
declare
  v_session public.sessions;
begin
  select * into v_session from public.sessions
  where id = p_session_id and (coach_id = private.me() or (client_id = private.me() and not p_coach_only))
  for no key update;
  if v_session.id is null then
    perform private.fail(404, 'not_found', 'There is no such thing, or it is not yours.');
  end if;
  return v_session;
end;
$$;
revoke execute on function private.session_of_party(uuid, boolean) from public, anon, authenticated, service_role;
comment on function private.session_of_party(uuid, boolean) is
  'security definer: called by definer functions. A session of the caller as its coach or its one client, or as its coach only, locked; 404 for every other.';

create or replace function private.session_of_seat(p_attendee_id uuid)
returns public.sessions
language sql
volatile
security definer
set search_path = ''
as $$
  select s.* from public.sessions as s
  join public.session_attendees as a on a.session_id = s.id
  where a.id = p_attendee_id
  for no key update of s;
$$;
revoke execute on function private.session_of_seat(uuid) from public, anon, authenticated, service_role;
comment on function private.session_of_seat(uuid) is
  'security definer: called by definer functions. The session of a seat, locked; the seat''s own lock comes after it, the order in which everything takes them.';

create or replace function private.give_seat(
  p_session public.sessions, p_user_id uuid, p_email text, p_display_name text, p_price_cents integer, p_keep boolean
)
returns uuid
language plpgsql
volatile
security definer
set search_path = ''
as $$
declare
  v_email text := lower(nullif(btrim(p_email), ''));
  v_user_id uuid := p_user_id;
  v_relation_id uuid;
  v_seat public.session_attendees;
begin
  if p_session.status <> 'scheduled' then
    perform private.fail(409, 'session_not_open', format('The session is %s.', p_session.status));
  elsif (p_user_id is null) = (v_email is null) then
    perform private.fail(422, 'attendee_unclear', 'Name either a client or an e-mail address.');
  elsif v_email is not null and v_email !~ '^[^@[:space:][:cntrl:]]+@[^@[:space:][:cntrl:]]+\.[^@[:space:][:cntrl:]]+$' then
    perform private.fail(422, 'email_invalid', 'That is not an e-mail address.');
  elsif v_user_id is not null and not v_user_id = any (private.my_client_ids()) then
    perform private.fail(404, 'not_found', 'There is no such thing, or it is not yours.');
  end if;
  if v_email is not null then
    -- Only the coach's own clients are recognised by their address: nobody learns who else has an account.
    select u.id into v_user_id from public.users as u
    where lower(u.email) = v_email and u.id = any (private.my_client_ids());
  end if;
  if v_user_id is null then
    insert into public.coach_clients (coach_id, email, display_name, source)
    values (p_session.coach_id, v_email, nullif(btrim(p_display_name), ''), 'invitation')
    on conflict (coach_id, lower(email)) do nothing;
    select c.id into v_relation_id from public.coach_clients as c
    where c.coach_id = p_session.coach_id and lower(c.email) = v_email;
  end if;
  select * into v_seat from public.session_attendees as a
  where a.session_id = p_session.id
    and (a.user_id = v_user_id or (v_user_id is null and a.user_id is null and a.email = v_email));
  if v_seat.id is null then
    insert into public.session_attendees
      (session_id, user_id, role, invited_by, email, display_name, price_cents, coach_client_id)
    values (
      p_session.id, v_user_id, (case when v_user_id is null then 'guest' else 'client' end)::public.session_attendee_role,
      private.me(), case when v_user_id is null then v_email end, nullif(btrim(p_display_name), ''), p_price_cents,
      v_relation_id
    )
    returning * into v_seat;
  elsif v_seat.cancelled_at is not null or v_seat.status = 'declined' then
    update public.session_attendees
    set status = 'invited', cancelled_at = null, cancelled_by = null, cancellation_reason = null, responded_at = null,
      invited_by = private.me(), price_cents = coalesce(p_price_cents, price_cents), moves_made = 0,
      terms = private.terms_in_force(p_session.coach_id, p_session.template_id)
    where id = v_seat.id;
  elsif not p_keep then
    perform private.fail(409, 'already_invited', 'That person has a seat already.');
  end if;
  return v_seat.id;
end;
$$;
revoke execute on function private.give_seat(public.sessions, uuid, text, text, integer, boolean)
  from public, anon, authenticated, service_role;
comment on function private.give_seat(public.sessions, uuid, text, text, integer, boolean) is
  'security definer: called by definer functions that have locked a session of the calling coach. Asks a client or a guest by address to it; who declined or left is asked again, and who has a seat keeps it (p_keep) or is in the way. The seat''s trigger sees to the letter, which goes out after the commit. Gives the seat''s id.';

create or replace function public.invite_attendee(
  p_session_id uuid,
  p_user_id uuid default null,
  p_email text default null,
  p_display_name text default null,
  p_price_cents integer default null
)
returns uuid
language sql
volatile
security definer
set search_path = ''
as $$
  select private.give_seat(
    private.session_of_party(p_session_id, true), p_user_id, p_email, p_display_name, p_price_cents, false);
$$;
revoke execute on function public.invite_attendee(uuid, uuid, text, text, integer) from public, anon, authenticated, service_role;
grant execute on function public.invite_attendee(uuid, uuid, text, text, integer) to authenticated;
comment on function public.invite_attendee(uuid, uuid, text, text, integer) is
  'security definer: nobody may insert seats. The coach asks a client or a guest by address; who declined or left may be asked again. Gives the seat''s id.';

create or replace function private.answer_seat(p_attendee_id uuid, p_answer text)
returns public.session_attendees
language plpgsql
volatile
security definer
set search_path = ''
as $$
declare
  v_session public.sessions;
  v_seat public.session_attendees;
begin
  if p_answer is null or p_answer not in ('confirmed', 'declined') then
    perform private.fail(422, 'answer_unknown', 'The answer is confirmed or declined.');
  end if;
  v_session := private.session_of_seat(p_attendee_id);
  select * into v_seat from public.session_attendees where id = p_attendee_id for no key update;
  if v_seat.role = 'coach' or v_seat.user_id = v_session.client_id then
    perform private.fail(409, 'seat_has_no_answer', 'This session is booked, not proposed.', 'Cancel the session instead.');
  elsif v_seat.cancelled_at is not null then
    perform private.fail(404, 'not_found', 'There is no such thing, or it is not yours.');
  elsif v_seat.status = 'checked_in' or v_session.status <> 'scheduled' or v_session.scheduled_at <= now() then
    perform private.fail(409, 'session_not_open', 'Answers are taken until the session starts.');
  end if;
  update public.session_attendees set status = p_answer::public.session_attendee_status, responded_at = now()
  where id = p_attendee_id and status::text <> p_answer
  returning * into v_seat;
  if not found then
    select * into v_seat from public.session_attendees where id = p_attendee_id;
  end if;
  return v_seat;
end;
$$;
revoke execute on function private.answer_seat(uuid, text) from public, anon, authenticated, service_role;
comment on function private.answer_seat(uuid, text) is
  'security definer: called by definer functions that know whose seat it is. Writes the answer to an invitation.';

create or replace function public.respond_to_invitation(p_session_id uuid, p_answer text)
returns uuid
language plpgsql
volatile
security definer
set search_path = ''
as $$
declare
  v_attendee_id uuid;
begin
  select a.id into v_attendee_id from public.session_attendees as a
  where a.session_id = p_session_id and a.user_id = private.me();
  if v_attendee_id is null then
    perform private.fail(404, 'not_found', 'There is no such thing, or it is not yours.');
  end if;
  return (private.answer_seat(v_attendee_id, p_answer)).id;
end;
$$;
revoke execute on function public.respond_to_invitation(uuid, text) from public, anon, authenticated, service_role;
grant execute on function public.respond_to_invitation(uuid, text) to authenticated;
comment on function public.respond_to_invitation(uuid, text) is
  'security definer: nobody may update the status of a seat. The caller''s answer (confirmed or declined) to the invitation to a session. Gives the seat''s id.';
