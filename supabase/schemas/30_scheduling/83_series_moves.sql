-- All from here on.

create or replace function private.series_from(p_session_id uuid, p_coach_only boolean)
returns setof public.sessions
language plpgsql
volatile
security definer
set search_path = ''
as $$
declare
  v_place public.series_sessions;
begin
  select * into v_place from public.series_sessions as m
  where m.session_id = p_session_id and (m.coach_id = private.me() or (m.client_id = private.me() and not p_coach_only));
  if v_place.session_id is null then
    perform private.fail(404, 'not_found', 'There is no such thing, or it is not yours.');
  end if;
  perform private.lock_coach_time(v_place.coach_id);
  return query
    select s.* from public.sessions as s
    join public.series_sessions as m on m.session_id = s.id
    where m.series_id = v_place.series_id and m.ordinal >= v_place.ordinal and s.status = 'scheduled' and s.scheduled_at > now()
    order by m.ordinal
    for no key update of s;
end;
$$;
revoke execute on function private.series_from(uuid, boolean) from public, anon, authenticated, service_role;
comment on function private.series_from(uuid, boolean) is
  'security definer: called by definer functions. The sessions of a series from one on that are still ahead, locked in their order after the coach''s time.';

create or replace function public.invite_to_series(
  p_session_id uuid,
  p_user_id uuid default null,
  p_email text default null,
  p_display_name text default null,
  p_price_cents integer default null
)
returns uuid
language plpgsql
volatile
security definer
set search_path = ''
as $$
declare
  v_session public.sessions;
  v_seat_id uuid;
  v_first_seat_id uuid;
begin
  for v_session in select * from private.series_from(p_session_id, true) loop
    v_seat_id := private.give_seat(v_session, p_user_id, p_email, p_display_name, p_price_cents, true);
    if v_session.id = p_session_id then
      v_first_seat_id := v_seat_id;
    end if;
  end loop;
  if v_first_seat_id is null then
    perform private.fail(409, 'session_not_open', 'The session is not ahead any more.', 'Name the next one of the series.');
  end if;
  return v_first_seat_id;
end;
$$;
revoke execute on function public.invite_to_series(uuid, uuid, text, text, integer) from public, anon, authenticated, service_role;
grant execute on function public.invite_to_series(uuid, uuid, text, text, integer) to authenticated;
comment on function public.invite_to_series(uuid, uuid, text, text, integer) is
  'security definer: nobody may insert seats. The coach asks somebody to a session of a series and to all after it, to all or none; who has a seat in one keeps it. Gives the seat''s id in the session named.';

create or replace function public.cancel_series(p_session_id uuid, p_reason text default null, p_for_client boolean default false)
returns integer
language plpgsql
volatile
security definer
set search_path = ''
as $$
declare
  v_session public.sessions;
  v_count integer := 0;
begin
  for v_session in select * from private.series_from(p_session_id, false) loop
    perform public.cancel_session(v_session.id, p_reason, p_for_client);
    v_count := v_count + 1;
  end loop;
  if v_count = 0 then
    perform private.fail(409, 'session_state_conflict', 'No session of the series is ahead any more.');
  end if;
  return v_count;
end;
$$;
revoke execute on function public.cancel_series(uuid, text, boolean) from public, anon, authenticated, service_role;
grant execute on function public.cancel_series(uuid, text, boolean) to authenticated;
comment on function public.cancel_series(uuid, text, boolean) is
  'security definer: nobody may update the status of a session. The coach or the client cancels a session of a series and all after it, each by its own terms; p_for_client as in cancel_session. Gives their number.';

create or replace function public.move_series(p_session_id uuid, p_starts_at timestamptz, p_missing text default 'ask')
returns integer
language plpgsql
volatile
security definer
set search_path = ''
as $$
declare
  v_zone text;
  v_shift interval;
  v_ids uuid[];
  v_problems text;
  v_count integer;
begin
  if p_starts_at is null or not isfinite(p_starts_at) then
    perform private.fail(422, 'session_in_past', 'Say when the session starts.');
  elsif p_missing is null or p_missing not in ('ask', 'later') then
    perform private.fail(422, 'series_invalid', 'Times that do not exist are asked about, or taken later.');
  end if;
  select array_agg(s.id order by s.scheduled_at, s.id) into v_ids from private.series_from(p_session_id, true) as s;
  if p_session_id = any (v_ids) is not true then
    perform private.fail(409, 'session_state_conflict', 'The session is not ahead any more.');
  end if;
  -- By the clock: who moves a Sunday from 18:00 to 19:00 means 19:00 on every Sunday, whatever the clock does between them.
  select x.timezone, (p_starts_at at time zone x.timezone) - (s.scheduled_at at time zone x.timezone) into v_zone, v_shift
  from public.sessions as s
  join public.series_sessions as m on m.session_id = s.id
  join public.session_series as x on x.id = m.series_id
  where s.id = p_session_id;
  -- They make room for one another first; what is in the way after that is somebody else's. One that stays where it is, as
  -- on a day whose clock change undoes the move, keeps its time: nothing would write it down again.
  delete from public.coach_blocks as b using public.sessions as s
  where s.id = any (v_ids) and b.session_id = s.id
    and ((s.scheduled_at at time zone v_zone) + v_shift) at time zone v_zone <> s.scheduled_at;
  with moved as (
    select s.*, (s.scheduled_at at time zone v_zone) + v_shift as wall from public.sessions as s where s.id = any (v_ids)
  ), placed as (
    select m.*, m.wall at time zone v_zone as starts from moved as m
  ), problem as (
    select p.wall, case
      when p_missing = 'ask' and p.starts at time zone v_zone <> p.wall then 'time does not exist'
      when p.starts <= now() then 'past'
      else (
        select 'taken, ' || coalesce(e.title, replace(b.kind, '_', ' '))
        from public.coach_blocks as b
        left join public.sessions as e on e.id = b.session_id
        where b.coach_id = p.coach_id and b.session_id is distinct from p.id
          and (b.expires_at is null or b.expires_at > now()) and b.during && tstzrange(
          p.starts - make_interval(mins => p.buffer_before_minutes),
          p.starts + make_interval(mins => p.duration_minutes + p.buffer_after_minutes))
        order by b.during limit 1)
    end as what
    from placed as p
  )
  select string_agg(format('%s: %s', to_char(wall, 'YYYY-MM-DD HH24:MI'), what), '; ' order by wall), count(*)
  into v_problems, v_count
  from problem where what is not null;
  if v_problems is not null then
    perform private.fail(409, 'series_conflict', format('%s of the sessions cannot be moved. Nothing was.', v_count), v_problems);
  end if;
  update public.sessions as s
  set scheduled_at = ((s.scheduled_at at time zone v_zone) + v_shift) at time zone v_zone
  where s.id = any (v_ids);
  update public.series_sessions as m set local_start = m.local_start + v_shift where m.session_id = any (v_ids);
  return cardinality(v_ids);
end;
$$;
revoke execute on function public.move_series(uuid, timestamptz, text) from public, anon, authenticated, service_role;
grant execute on function public.move_series(uuid, timestamptz, text) to authenticated;
comment on function public.move_series(uuid, timestamptz, text) is
  'security definer: nobody may update the time of a session. The coach moves a session of a series to another time, and all after it by as much of the clock; all of them or none, with what is in the way named. Gives their number.';
