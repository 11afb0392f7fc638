-- What a session brings about once it is written: its block, its seats, its history, the relation of coach and client.

create or replace function private.sessions_after_insert()
returns trigger
language plpgsql
security definer
set search_path = ''
as $$
begin
  perform private.keep_session_block(new);
  insert into public.session_attendees (session_id, user_id, role, status, invited_by)
  values (new.id, new.coach_id, 'coach', 'confirmed', private.me());
  if new.client_id is not null then
    perform private.relate(new.coach_id, new.client_id, case when private.acting_as_api() then 'booking' else 'session' end);
    insert into public.session_attendees (session_id, user_id, role, status, invited_by, price_cents, billing_status)
    values (new.id, new.client_id, 'client', 'confirmed', private.me(), new.price_cents, new.billing_status);
  end if;
  insert into public.session_events (session_id, coach_id, kind, to_status, actor_id)
  values (new.id, new.coach_id, 'created', new.status, private.me());
  return null;
end;
$$;
revoke execute on function private.sessions_after_insert() from public, anon, authenticated, service_role;
comment on function private.sessions_after_insert() is
  'security definer: writes blocks, seats, history and relations, which no API role may. Makes what belongs to a new session.';

drop trigger if exists sessions_after_insert on public.sessions;
create trigger sessions_after_insert after insert on public.sessions
  for each row execute function private.sessions_after_insert();

create or replace function private.keep_session_people(p_new public.sessions, p_old public.sessions)
returns void
language plpgsql
security definer
set search_path = ''
as $$
begin
  if p_new.coach_id <> p_old.coach_id then
    update public.session_attendees set coach_id = p_new.coach_id where session_id = p_new.id;
    update public.session_attendees set user_id = p_new.coach_id where session_id = p_new.id and role = 'coach' and user_id = p_old.coach_id;
    update public.session_events set coach_id = p_new.coach_id where session_id = p_new.id;
  end if;
  if p_new.client_id is distinct from p_old.client_id or p_new.coach_id <> p_old.coach_id then
    if p_old.client_id is not null and p_old.client_id is distinct from p_new.client_id and exists (
      select from public.session_attendees as a
      where a.session_id = p_new.id and a.user_id = p_old.client_id and a.billing_status <> 'unbilled'
    ) then
      perform private.fail(409, 'session_billed', 'The session is on an invoice; its client stands.');
    end if;
    if p_new.client_id is not null then
      update public.session_attendees as a
      set user_id = p_new.client_id, coach_client_id = private.relate(p_new.coach_id, p_new.client_id, 'session')
      where a.session_id = p_new.id and a.user_id = coalesce(p_old.client_id, p_new.client_id) and a.role = 'client';
      if not found then
        insert into public.session_attendees (session_id, user_id, role, status) values (p_new.id, p_new.client_id, 'client', 'confirmed');
      end if;
    end if;
  end if;
end;
$$;
revoke execute on function private.keep_session_people(public.sessions, public.sessions) from public, anon, authenticated, service_role;
comment on function private.keep_session_people(public.sessions, public.sessions) is
  'security definer: seats are written by nobody directly. Keeps the coach''s and the client''s seats in step with the session.';

create or replace function private.sessions_after_update()
returns trigger
language plpgsql
security definer
set search_path = ''
as $$
begin
  if (new.coach_id, new.status, new.scheduled_at, new.duration_minutes, new.buffer_before_minutes, new.buffer_after_minutes)
    is distinct from
    (old.coach_id, old.status, old.scheduled_at, old.duration_minutes, old.buffer_before_minutes, old.buffer_after_minutes) then
    perform private.keep_session_block(new);
  end if;
  perform private.keep_session_people(new, old);
  if (new.price_cents, new.currency) is distinct from (old.price_cents, old.currency) then
    -- Seats with a price of their own keep it.
    update public.session_attendees as a
    set price_cents = case when a.price_cents is not distinct from old.price_cents then new.price_cents else a.price_cents end,
      currency = new.currency
    where a.session_id = new.id and a.billing_status = 'unbilled' and a.role <> 'coach';
  end if;
  if new.billing_status is distinct from old.billing_status and new.type = 'individual'
    and new.billing_status is distinct from private.session_billing(new.id) then
    update public.session_attendees set billing_status = new.billing_status
    where session_id = new.id and user_id = new.client_id and billing_status is distinct from new.billing_status;
  end if;
  if new.status is distinct from old.status then
    insert into public.session_events (session_id, coach_id, kind, from_status, to_status, actor_id, details)
    values (
      new.id, new.coach_id, case new.status when 'in_progress' then 'started' else new.status::text end, old.status, new.status,
      private.me(), jsonb_strip_nulls(jsonb_build_object('reason', new.cancellation_reason)));
    if new.status in ('cancelled', 'no_show') then
      perform private.record_outcome(a.id, new.status::text, old.scheduled_at, new.cancelled_by)
      from public.session_attendees as a
      where a.session_id = new.id and private.takes_a_place(a.role, a.status, a.cancelled_at)
        -- Whoever had confirmed and is missed is on record as such, and owes by that.
        and case new.status
          when 'cancelled' then a.status <> 'invited' or a.billing_status <> 'unbilled'
          else a.status = 'invited' and a.billing_status <> 'unbilled'
        end;
    end if;
  elsif (new.scheduled_at, new.duration_minutes) is distinct from (old.scheduled_at, old.duration_minutes) then
    insert into public.session_events (session_id, coach_id, kind, from_status, to_status, actor_id, details)
    values (
      new.id, new.coach_id, 'rescheduled', old.status, new.status, private.me(),
      jsonb_build_object(
        'from', jsonb_build_object('starts_at', old.scheduled_at, 'duration_minutes', old.duration_minutes),
        'to', jsonb_build_object('starts_at', new.scheduled_at, 'duration_minutes', new.duration_minutes)));
  end if;
  return null;
end;
$$;
revoke execute on function private.sessions_after_update() from public, anon, authenticated, service_role;
comment on function private.sessions_after_update() is
  'security definer: writes blocks, seats and history, which no API role may. Carries a change of a session on to what belongs to it.';

drop trigger if exists sessions_after_update on public.sessions;
create trigger sessions_after_update after update on public.sessions
  for each row execute function private.sessions_after_update();
