-- What becomes of a time that was held or asked for.

create or replace function private.book_request(p_request public.booking_requests)
returns uuid
language plpgsql
volatile
security definer
set search_path = ''
as $$
declare
  v_template public.session_templates;
  v_session_id uuid;
begin
  select * into v_template from public.session_templates where id = p_request.template_id;
  delete from public.coach_blocks where id = p_request.block_id;
  perform private.relate(p_request.coach_id, p_request.client_id, 'booking');
  insert into public.sessions (
    coach_id, client_id, title, description, scheduled_at, duration_minutes, template_id, timezone, price_cents, currency
  )
  values (
    p_request.coach_id, p_request.client_id, v_template.title, v_template.description, p_request.starts_at,
    p_request.duration_minutes, p_request.template_id, p_request.timezone, p_request.price_cents, p_request.currency
  )
  returning id into v_session_id;
  -- What was shown when it was asked for, whatever the coach has changed since.
  update public.session_attendees set terms = p_request.terms where session_id = v_session_id and role = 'client';
  update public.booking_requests
  set status = 'booked', answered_at = now(), answered_by = private.me(), session_id = v_session_id, block_id = null
  where id = p_request.id;
  return v_session_id;
end;
$$;
revoke execute on function private.book_request(public.booking_requests) from public, anon, authenticated, service_role;
comment on function private.book_request(public.booking_requests) is
  'security definer: called by definer functions that have locked the request. Makes the session that was held or asked for.';

create or replace function private.open_request(p_request_id uuid)
returns public.booking_requests
language plpgsql
volatile
security definer
set search_path = ''
as $$
declare
  v_request public.booking_requests;
begin
  select * into v_request from public.booking_requests
  where id = p_request_id and (coach_id = private.me() or client_id = private.me()) for no key update;
  if v_request.id is null then
    perform private.fail(404, 'not_found', 'There is no such thing, or it is not yours.');
  elsif v_request.status <> 'pending' then
    perform private.fail(409, 'request_closed', format('It is %s already.', v_request.status));
  end if;
  return v_request;
end;
$$;
revoke execute on function private.open_request(uuid) from public, anon, authenticated, service_role;
comment on function private.open_request(uuid) is
  'security definer: called by definer functions. A pending request of the caller as its coach or client, locked.';

create or replace function public.accept_request(p_request_id uuid)
returns uuid
language plpgsql
volatile
security definer
set search_path = ''
as $$
declare
  v_request public.booking_requests := private.open_request(p_request_id);
  v_mode text := (select t.booking_mode from public.session_templates as t where t.id = v_request.template_id);
begin
  if v_request.coach_id is distinct from private.me() then
    if v_request.kind = 'request' then
      perform private.fail(409, 'approval_needed', 'The coach has not answered yet.');
    elsif v_mode = 'prepaid' then
      perform private.fail(409, 'payment_needed', 'The time is held until it is paid for.');
    elsif v_request.expires_at <= now() then
      perform private.fail(409, 'hold_expired', 'The time was held for you, and no longer is.', 'Hold it again if it is still free.');
    end if;
  end if;
  perform private.book_request(v_request);
  return p_request_id;
end;
$$;
revoke execute on function public.accept_request(uuid) from public, anon, authenticated, service_role;
grant execute on function public.accept_request(uuid) to authenticated;
comment on function public.accept_request(uuid) is
  'security definer: a client may not insert sessions. The client turns a hold into a session, unless it has to be paid for first; the coach approves a request, or takes a hold as paid. Gives the request''s id; its session_id is the session.';

create or replace function public.close_request(p_request_id uuid, p_reason text default null)
returns uuid
language plpgsql
volatile
security definer
set search_path = ''
as $$
declare
  v_request public.booking_requests := private.open_request(p_request_id);
begin
  delete from public.coach_blocks where id = v_request.block_id;
  update public.booking_requests
  set status = case when v_request.coach_id = private.me() then 'declined' else 'withdrawn' end,
    answered_at = now(), answered_by = private.me(), reason = left(p_reason, 2000), block_id = null
  where id = p_request_id;
  return p_request_id;
end;
$$;
revoke execute on function public.close_request(uuid, text) from public, anon, authenticated, service_role;
grant execute on function public.close_request(uuid, text) to authenticated;
comment on function public.close_request(uuid, text) is
  'security definer: requests are written through functions. The coach declines, the client withdraws; the time is free again at once. Gives the request''s id.';

create or replace function private.book_paid_hold(p_request_id uuid)
returns uuid
language plpgsql
volatile
security definer
set search_path = ''
as $$
declare
  v_request public.booking_requests;
begin
  select * into v_request from public.booking_requests where id = p_request_id for no key update;
  if v_request.status is distinct from 'pending' then
    return v_request.session_id;
  end if;
  begin
    if v_request.starts_at <= now() then
      perform private.fail(409, 'hold_expired', 'The time has begun.');
    end if;
    return private.book_request(v_request);
  exception when sqlstate 'PT409' then
    -- Paid too late, and somebody else was faster: nobody is booked twice, and whoever paid gets it back.
    update public.booking_requests set status = 'lost', answered_at = now() where id = p_request_id;
    return null;
  end;
end;
$$;
revoke execute on function private.book_paid_hold(uuid) from public, anon, authenticated, service_role;
grant execute on function private.book_paid_hold(uuid) to service_role;
comment on function private.book_paid_hold(uuid) is
  'security definer: for whoever learns that a hold was paid. Makes the session, also after the hold expired while the time is still free; called again it gives the same session. Null when the time is lost: then the money is to go back.';
