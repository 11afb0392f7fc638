-- Booking an individual session, and making one for a group.

create or replace function private.check_booking_mode(p_template public.session_templates)
returns void
language plpgsql
stable
security definer
set search_path = ''
as $$
begin
  if private.me() is null then
    perform private.fail(401, 'not_authenticated', 'Sign in to book.');
  elsif p_template.coach_id = private.me() then
    -- A coach may leave the hours they publish, and need not ask themselves; only time that is taken stays taken.
    return;
  elsif p_template.booking_mode = 'request' then
    perform private.fail(
      422, 'approval_needed', 'The coach wants to be asked first.', 'Send a request for a single time, or write to the coach.');
  elsif p_template.booking_mode = 'prepaid' then
    perform private.fail(422, 'payment_needed', 'This is booked by paying for it.', 'Hold a single time, then pay.');
  end if;
end;
$$;
revoke execute on function private.check_booking_mode(public.session_templates) from public, anon, authenticated, service_role;
comment on function private.check_booking_mode(public.session_templates) is
  'security definer: called by definer functions. Refuses clients what they have to ask or pay for first.';

create or replace function private.client_to_book(p_template public.session_templates, p_client_id uuid)
returns uuid
language plpgsql
stable
security definer
set search_path = ''
as $$
declare
  v_me uuid := private.me();
begin
  if p_template.session_type <> 'individual' then
    perform private.fail(422, 'template_is_group', 'A group session is joined by invitation.');
  elsif p_template.coach_id = v_me and p_client_id is null then
    perform private.fail(422, 'client_required', 'Say which client it is with.');
  elsif p_template.coach_id <> v_me and p_client_id <> v_me then
    perform private.fail(404, 'not_found', 'There is no such thing, or it is not yours.');
  end if;
  return coalesce(p_client_id, v_me);
end;
$$;
revoke execute on function private.client_to_book(public.session_templates, uuid) from public, anon, authenticated, service_role;
comment on function private.client_to_book(public.session_templates, uuid) is
  'security definer: called by definer functions. Whom a booking is for: the calling client, or the one that a coach names.';

create or replace function public.book_session(
  p_template_id uuid, p_starts_at timestamptz, p_client_id uuid default null, p_timezone text default null
)
returns uuid
language plpgsql
volatile
security definer
set search_path = ''
as $$
declare
  v_template public.session_templates := private.bookable_template(p_template_id);
  v_client_id uuid;
  v_session_id uuid;
begin
  perform private.check_booking_mode(v_template);
  v_client_id := private.client_to_book(v_template, p_client_id);
  if p_starts_at is null then
    perform private.fail(422, 'session_in_past', 'Say when the session starts.');
  elsif v_template.coach_id <> private.me() then
    perform private.check_slot(v_template, p_starts_at);
  end if;
  insert into public.sessions (
    coach_id, client_id, title, description, scheduled_at, duration_minutes, template_id, timezone
  )
  values (
    v_template.coach_id, v_client_id, v_template.title, v_template.description, p_starts_at,
    v_template.default_duration_minutes, v_template.id, p_timezone
  )
  returning id into v_session_id;
  return v_session_id;
end;
$$;
revoke execute on function public.book_session(uuid, timestamptz, uuid, text) from public, anon, authenticated, service_role;
grant execute on function public.book_session(uuid, timestamptz, uuid, text) to authenticated;
comment on function public.book_session(uuid, timestamptz, uuid, text) is
  'security definer: a client may not insert sessions. Books an individual session from a template: a client only what free_slots offers, a coach for a client of their own whenever they are free. Gives the session''s id; 409 slot_taken when somebody was faster.';

create or replace function public.create_group_session(
  p_template_id uuid,
  p_starts_at timestamptz,
  p_capacity integer default null,
  p_title text default null,
  p_description text default null,
  p_duration_minutes integer default null,
  p_timezone text default null,
  p_location text default null,
  p_meeting_url text default null,
  p_price_cents integer default null,
  p_currency text default null,
  p_roster_visible boolean default null
)
returns uuid
language plpgsql
volatile
security definer
set search_path = ''
as $$
declare
  v_template public.session_templates := private.bookable_template(p_template_id);
  v_session_id uuid;
begin
  if v_template.coach_id is distinct from private.me() then
    perform private.fail(404, 'not_found', 'There is no such thing, or it is not yours.');
  elsif v_template.session_type <> 'group' then
    perform private.fail(422, 'template_is_individual', 'The template is for individual sessions.');
  elsif p_starts_at is null then
    perform private.fail(422, 'session_in_past', 'Say when the session starts.');
  elsif p_capacity not between 1 and 1000 then
    perform private.fail(422, 'capacity_out_of_range', 'A group has between 1 and 1000 seats.');
  elsif p_price_cents is null and p_currency <> v_template.currency and v_template.default_price_cents is not null then
    perform private.fail(422, 'currency_mismatch', 'The template''s price is in another currency.');
  end if;
  insert into public.sessions (
    coach_id, type, title, description, scheduled_at, duration_minutes, template_id, capacity, timezone, location,
    meeting_url, price_cents, currency, roster_visible
  )
  values (
    v_template.coach_id, 'group', coalesce(p_title, v_template.title), coalesce(p_description, v_template.description),
    p_starts_at, coalesce(p_duration_minutes, v_template.default_duration_minutes), v_template.id, p_capacity, p_timezone,
    p_location, p_meeting_url, p_price_cents, coalesce(p_currency, v_template.currency), p_roster_visible
  )
  returning id into v_session_id;
  return v_session_id;
end;
$$;
revoke execute on function public.create_group_session(
  uuid, timestamptz, integer, text, text, integer, text, text, text, integer, text, boolean
) from public, anon, authenticated, service_role;
grant execute on function public.create_group_session(
  uuid, timestamptz, integer, text, text, integer, text, text, text, integer, text, boolean
) to authenticated;
comment on function public.create_group_session(
  uuid, timestamptz, integer, text, text, integer, text, text, text, integer, text, boolean
) is
  'security definer: shares the rules of book_session. Makes a group session of the calling coach from a group template; what is not said comes from it. Gives the session''s id.';
