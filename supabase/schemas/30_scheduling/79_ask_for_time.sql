-- Holding a time, and asking for one.

create or replace function private.ask_for_time(
  p_kind text, p_template_id uuid, p_starts_at timestamptz, p_timezone text, p_message text
)
returns uuid
language plpgsql
volatile
security definer
set search_path = ''
as $$
declare
  v_me uuid := private.me();
  v_template public.session_templates := private.bookable_template(p_template_id);
  v_during tstzrange;
  v_block_id uuid;
  v_expires_at timestamptz;
  v_id uuid;
begin
  if v_me is null then
    perform private.fail(401, 'not_authenticated', 'Sign in to book.');
  elsif v_template.coach_id = v_me then
    perform private.fail(422, 'client_required', 'A coach books for a client at once.');
  elsif v_template.session_type <> 'individual' then
    perform private.fail(422, 'template_is_group', 'A group session is joined by invitation.');
  elsif p_kind = 'hold' and v_template.booking_mode = 'request' then
    perform private.fail(422, 'approval_needed', 'The coach wants to be asked first.', 'Send a request instead.');
  elsif p_kind = 'request' and v_template.booking_mode <> 'request' then
    perform private.fail(422, 'approval_not_needed', 'Sessions of this template need no approval.', 'Book or hold it instead.');
  elsif p_timezone is not null and not private.is_time_zone(p_timezone) then
    perform private.fail(422, 'timezone_unknown', format('There is no time zone named %L.', left(p_timezone, 80)));
  end if;
  perform private.check_may_book(v_template.coach_id);
  perform private.check_slot(v_template, p_starts_at);
  -- One client's asking waits for the other, so that three stay three.
  perform pg_advisory_xact_lock(hashtextextended('loom.requests:' || v_template.coach_id || v_me, 0));
  if 3 <= (
    select count(*) from public.booking_requests as r
    where r.coach_id = v_template.coach_id and r.client_id = v_me and r.status = 'pending' and r.expires_at > now()
  ) then
    perform private.fail(409, 'too_many_requests_open', 'Three times with this coach wait for you or for an answer already.');
  end if;
  v_expires_at := case
    when p_kind = 'hold' then now() + make_interval(mins => v_template.hold_minutes)
    when v_template.request_blocks then least(p_starts_at, now() + interval '3 days')
    else least(p_starts_at, now() + interval '14 days')
  end;
  if p_kind = 'hold' or v_template.request_blocks then
    v_during := tstzrange(
      p_starts_at - make_interval(mins => v_template.buffer_before_minutes),
      p_starts_at + make_interval(mins => v_template.default_duration_minutes + v_template.buffer_after_minutes));
    delete from public.coach_blocks as b
    where b.coach_id = v_template.coach_id and b.kind = 'hold' and b.expires_at <= now() and b.during && v_during;
    insert into public.coach_blocks (coach_id, kind, during, expires_at)
    values (v_template.coach_id, 'hold', v_during, v_expires_at)
    on conflict on constraint coach_blocks_no_overlap do nothing
    returning id into v_block_id;
    if v_block_id is null then
      perform private.fail(409, 'slot_taken', 'The coach is taken at that time.');
    end if;
  end if;
  insert into public.booking_requests (
    kind, coach_id, client_id, template_id, starts_at, duration_minutes, timezone, message, price_cents, currency, terms,
    expires_at, block_id
  )
  values (
    p_kind, v_template.coach_id, v_me, v_template.id, p_starts_at, v_template.default_duration_minutes, p_timezone, p_message,
    v_template.default_price_cents, v_template.currency, private.terms_in_force(v_template.coach_id, v_template.id),
    v_expires_at, v_block_id
  )
  returning id into v_id;
  return v_id;
end;
$$;
revoke execute on function private.ask_for_time(text, uuid, timestamptz, text, text) from public, anon, authenticated, service_role;
comment on function private.ask_for_time(text, uuid, timestamptz, text, text) is
  'security definer: called by definer functions. Holds a time on offer or asks for it, at the price and terms of now.';

create or replace function private.check_may_book(p_coach_id uuid)
returns void
language plpgsql
stable
security definer
set search_path = ''
as $$
begin
  if exists (
    select from public.coach_clients as c
    where c.coach_id = p_coach_id and c.client_id = private.me() and c.status = 'ended' and not c.metadata ? 'ended_by_client'
  ) then
    perform private.fail(409, 'relation_ended', 'This coach does not take bookings from you any more.', 'Write to the coach.');
  end if;
end;
$$;
revoke execute on function private.check_may_book(uuid) from public, anon, authenticated, service_role;
comment on function private.check_may_book(uuid) is
  'security definer: called by definer functions. Refuses somebody from whom the coach has parted.';

create or replace function public.hold_slot(p_template_id uuid, p_starts_at timestamptz, p_timezone text default null)
returns uuid
language sql
volatile
security definer
set search_path = ''
as $$
  select private.ask_for_time('hold', p_template_id, p_starts_at, p_timezone, null);
$$;
revoke execute on function public.hold_slot(uuid, timestamptz, text) from public, anon, authenticated, service_role;
grant execute on function public.hold_slot(uuid, timestamptz, text) to authenticated;
comment on function public.hold_slot(uuid, timestamptz, text) is
  'security definer: nobody may insert blocks for others. Keeps a time on offer free for the calling client, for as many minutes as the template says. Gives the request''s id.';

create or replace function public.request_slot(
  p_template_id uuid, p_starts_at timestamptz, p_timezone text default null, p_message text default null
)
returns uuid
language sql
volatile
security definer
set search_path = ''
as $$
  select private.ask_for_time('request', p_template_id, p_starts_at, p_timezone, p_message);
$$;
revoke execute on function public.request_slot(uuid, timestamptz, text, text) from public, anon, authenticated, service_role;
grant execute on function public.request_slot(uuid, timestamptz, text, text) to authenticated;
comment on function public.request_slot(uuid, timestamptz, text, text) is
  'security definer: requests are written through functions. Asks the coach for a time on offer. It stays on offer unless the template says that requests block. Gives the request''s id.';
