-- What is checked and filled before a session is written.

create or replace function private.session_defaults(inout p_session public.sessions)
language plpgsql
stable
security definer
set search_path = ''
as $$
declare
  v_template public.session_templates;
begin
  if p_session.template_id is not null then
    select * into v_template from public.session_templates where id = p_session.template_id;
    if v_template.coach_id is distinct from p_session.coach_id then
      perform private.fail(404, 'not_found', 'There is no such thing, or it is not yours.');
    end if;
    if v_template.session_type = 'group' and p_session.client_id is null then
      p_session.type := 'group';
    end if;
    if p_session.price_cents is null and v_template.default_price_cents is not null then
      p_session.price_cents := v_template.default_price_cents;
      p_session.currency := v_template.currency;
    end if;
    if p_session.type = 'group' then
      p_session.capacity := coalesce(p_session.capacity, v_template.default_capacity);
    end if;
    p_session.location := coalesce(p_session.location, v_template.location);
  end if;
  p_session.roster_visible := coalesce(p_session.roster_visible, v_template.roster_visible, false);
  p_session.buffer_before_minutes := coalesce(p_session.buffer_before_minutes, v_template.buffer_before_minutes, 0);
  p_session.buffer_after_minutes := coalesce(p_session.buffer_after_minutes, v_template.buffer_after_minutes, 0);
  -- History that comes along misses nobody, unless it says so itself.
  if p_session.scheduled_at > now() then
    p_session.no_show_grace_minutes := coalesce(
      p_session.no_show_grace_minutes, v_template.no_show_grace_minutes,
      (select r.no_show_grace_minutes from public.booking_rules as r where r.coach_id = p_session.coach_id));
  end if;
  p_session.timezone := coalesce(
    p_session.timezone, (select u.timezone from public.users as u where u.id = p_session.coach_id), 'UTC');
end;
$$;
revoke execute on function private.session_defaults(public.sessions) from public, anon, authenticated, service_role;
comment on function private.session_defaults(public.sessions) is
  'security definer: reads the template and the coach''s zone whoever inserts. Fills what an insert left open.';

-- Rules for people, not for imports: they hold API roles only, also inside definer functions.
create or replace function private.check_booking_rules(p_session public.sessions)
returns void
language plpgsql
stable
security definer
set search_path = ''
as $$
begin
  if not isfinite(p_session.scheduled_at) or p_session.scheduled_at < now() then
    perform private.fail(422, 'session_in_past', 'A session cannot start in the past.');
  elsif p_session.scheduled_at > now() + interval '5 years' then
    perform private.fail(422, 'session_too_far_ahead', 'A session cannot start more than five years from now.');
  elsif p_session.duration_minutes not between 5 and 1440 then
    perform private.fail(422, 'duration_out_of_range', 'A session lasts between 5 minutes and 24 hours.');
  end if;
end;
$$;
revoke execute on function private.check_booking_rules(public.sessions) from public, anon, authenticated, service_role;
comment on function private.check_booking_rules(public.sessions) is
  'security definer: called by triggers of definer functions. The rules on time that API roles are held to.';

create or replace function private.sessions_before_insert()
returns trigger
language plpgsql
security definer
set search_path = ''
as $$
begin
  new := private.session_defaults(new);
  if private.acting_as_api() then
    if new.status <> 'scheduled' then
      perform private.fail(422, 'session_state_conflict', 'A new session is scheduled.');
    end if;
    -- A coach takes only clients of their own, or any id would open that person's profile to them.
    if new.client_id is not null and new.client_id is distinct from private.me()
      and not new.client_id = any (private.my_client_ids()) then
      perform private.fail(404, 'not_found', 'There is no such thing, or it is not yours.');
    end if;
    perform private.check_booking_rules(new);
  end if;
  if not private.is_time_zone(new.timezone) then
    perform private.fail(422, 'timezone_unknown', format('There is no time zone named %L.', left(new.timezone, 80)));
  end if;
  new.ends_at := new.scheduled_at + make_interval(mins => new.duration_minutes);
  return new;
end;
$$;
revoke execute on function private.sessions_before_insert() from public, anon, authenticated, service_role;
comment on function private.sessions_before_insert() is
  'security definer: calls helpers that no API role may call. Fills and checks a new session.';

drop trigger if exists sessions_before_insert on public.sessions;
create trigger sessions_before_insert before insert on public.sessions
  for each row execute function private.sessions_before_insert();

create or replace function private.session_move(inout p_new public.sessions, p_old public.sessions)
language plpgsql
stable
security definer
set search_path = ''
as $$
declare
  v_move record;
begin
  select * into v_move from private.session_moves() as m where m.from_status = p_old.status and m.to_status = p_new.status;
  if not found then
    perform private.fail(409, 'session_state_conflict',
      format('A session that is %s cannot become %s.', p_old.status, p_new.status));
  end if;
  if private.acting_as_api() then
    if private.me() is distinct from p_new.coach_id and (not v_move.by_client or p_new.scheduled_at <= now()) then
      perform private.fail(409, 'session_state_conflict', 'The session has started; ask the coach.');
    elsif p_new.scheduled_at + v_move.opens > now() then
      perform private.fail(
        409, 'session_not_started',
        case p_new.status
          when 'in_progress' then 'A session is started an hour before its time at the earliest.'
          else 'The session has not started yet.'
        end,
        case p_new.status when 'in_progress' then 'Move it first, if it takes place earlier.' end);
    end if;
  end if;
  case p_new.status
    when 'in_progress' then
      p_new.started_at := coalesce(p_new.started_at, now());
    when 'completed' then
      p_new.started_at := coalesce(p_new.started_at, p_new.scheduled_at);
      p_new.completed_at := coalesce(p_new.completed_at, now());
    when 'cancelled' then
      p_new.cancelled_at := coalesce(p_new.cancelled_at, now());
      p_new.cancelled_by := coalesce(p_new.cancelled_by, private.me());
    else null;
  end case;
end;
$$;
revoke execute on function private.session_move(public.sessions, public.sessions) from public, anon, authenticated, service_role;
comment on function private.session_move(public.sessions, public.sessions) is
  'security definer: called by a trigger of definer functions. Allows or refuses a change of status by session_moves, and stamps when and by whom.';

create or replace function private.sessions_before_update()
returns trigger
language plpgsql
security definer
set search_path = ''
as $$
begin
  if new.status is distinct from old.status then
    new := private.session_move(new, old);
  end if;
  if new.timezone is distinct from old.timezone and not private.is_time_zone(new.timezone) then
    perform private.fail(422, 'timezone_unknown', format('There is no time zone named %L.', left(new.timezone, 80)));
  end if;
  if (new.scheduled_at, new.duration_minutes) is distinct from (old.scheduled_at, old.duration_minutes) then
    if old.status not in ('scheduled', 'in_progress') and private.acting_as_api() then
      perform private.fail(409, 'session_state_conflict', format('A session that is %s cannot be moved.', old.status));
    end if;
    if private.acting_as_api() then
      perform private.check_booking_rules(new);
    end if;
  end if;
  new.ends_at := new.scheduled_at + make_interval(mins => new.duration_minutes);
  if new.capacity < coalesce(old.capacity, 2147483647) and new.capacity < (
    select count(*) from public.session_attendees as a
    where a.session_id = new.id and private.takes_a_place(a.role, a.status, a.cancelled_at)
  ) then
    perform private.fail(409, 'capacity_below_seats', 'More seats are taken than that.');
  end if;
  if (new.price_cents, new.currency) is distinct from (old.price_cents, old.currency) and new.type = 'individual' and exists (
    select from public.session_attendees as a where a.session_id = new.id and a.billing_status <> 'unbilled'
  ) then
    perform private.fail(409, 'session_billed', 'The session is on an invoice; its price stands.');
  end if;
  if new.billing_status is distinct from old.billing_status and new.type = 'group'
    and new.billing_status is distinct from private.session_billing(new.id) then
    perform private.fail(409, 'billing_status_derived', 'A group''s billing status follows from its seats.');
  end if;
  return new;
end;
$$;
revoke execute on function private.sessions_before_update() from public, anon, authenticated, service_role;
comment on function private.sessions_before_update() is
  'security definer: counts seats that the caller may not see. Holds the state machine, the capacity and the price of what is billed.';

drop trigger if exists sessions_before_update on public.sessions;
create trigger sessions_before_update before update on public.sessions
  for each row execute function private.sessions_before_update();
