-- When a coach can be booked. Wall time in the coach's zone is turned into instants at the ends of a window, and only
-- there; inside it, time is counted as it elapses. So a day with a clock change simply is an hour shorter or longer.

create or replace function private.local_instant(p_local timestamp, p_zone text)
returns timestamptz
language plpgsql
stable
security invoker
set search_path = ''
as $$
declare
  -- A time that the clock shows twice is taken as its second showing, both as a start and as an end.
  v_at timestamptz := p_local at time zone p_zone;
  v_before timestamptz;
  v_offset interval;
  v_middle timestamptz;
begin
  if v_at at time zone p_zone = p_local then
    return v_at;
  end if;
  -- A time that the clock jumps over: the moment of the jump. PostgreSQL's own answer lies as far behind it as the time
  -- lies inside the gap, which would put the end of a window outside it.
  v_before := v_at - (v_at at time zone p_zone - p_local);
  v_offset := v_at at time zone p_zone - v_at at time zone 'UTC';
  while v_at - v_before > interval '1 second' loop
    v_middle := v_before + (v_at - v_before) / 2;
    if v_middle at time zone p_zone - v_middle at time zone 'UTC' = v_offset then
      v_at := v_middle;
    else
      v_before := v_middle;
    end if;
  end loop;
  return date_trunc('second', v_at);
end;
$$;
revoke execute on function private.local_instant(timestamp, text) from public, anon, authenticated, service_role;
comment on function private.local_instant(timestamp, text) is
  'The instant of a wall time in a zone; for a time that a clock change skips, the instant of the change.';

create or replace function private.coach_windows(p_coach_id uuid, p_from timestamptz, p_to timestamptz)
returns table (opens_at timestamptz, closes_at timestamptz)
language sql
stable
security definer
set search_path = ''
as $$
  -- Windows of one local day that touch are one. They are not joined across days: where the steps of a day begin must
  -- not depend on which days were asked for.
  with days as (
    select a.timezone, a.start_time, a.end_time, day.date
    from public.coach_availability as a
    cross join lateral (
      select (p_from at time zone a.timezone)::date - 1 + n as date
      from generate_series(0, (p_to at time zone a.timezone)::date - (p_from at time zone a.timezone)::date + 2) as n
    ) as day
    where a.coach_id = p_coach_id and a.is_available and extract(dow from day.date) = a.day_of_week
  ), windows as (
    select unnest(range_agg(tstzrange(
      private.local_instant(date + start_time, timezone), private.local_instant(date + end_time, timezone)))) as during
    from days
    group by timezone, date
  )
  select lower(during), upper(during) from windows where not isempty(during);
$$;
revoke execute on function private.coach_windows(uuid, timestamptz, timestamptz) from public, anon, authenticated, service_role;
comment on function private.coach_windows(uuid, timestamptz, timestamptz) is
  'security definer: availability is the coach''s own to read. The windows of the days around a range, as instants.';

create or replace function private.slot_starts(p_template public.session_templates, p_from timestamptz, p_to timestamptz)
returns setof timestamptz
language sql
stable
security definer
set search_path = ''
as $$
  select distinct starts_at
  from private.coach_windows(p_template.coach_id, p_from, p_to) as w
  cross join lateral generate_series(
    w.opens_at,
    w.closes_at - make_interval(mins => p_template.default_duration_minutes),
    make_interval(mins => coalesce(p_template.slot_step_minutes, p_template.default_duration_minutes))
  ) as starts_at
  where starts_at >= p_from and starts_at < p_to;
$$;
revoke execute on function private.slot_starts(public.session_templates, timestamptz, timestamptz)
  from public, anon, authenticated, service_role;
comment on function private.slot_starts(public.session_templates, timestamptz, timestamptz) is
  'security definer: availability is the coach''s own to read. Every start a template has in a range, taken or not.';

-- The template, if it can be booked: it and its coach are active.
create or replace function private.bookable_template(p_template_id uuid)
returns public.session_templates
language plpgsql
stable
security definer
set search_path = ''
as $$
declare
  v_template public.session_templates;
begin
  select t.* into v_template
  from public.session_templates as t
  join public.users as u on u.id = t.coach_id
  where t.id = p_template_id and t.is_active and u.status = 'active' and u.role = 'coach';
  if v_template.id is null then
    perform private.fail(404, 'not_found', 'There is no such thing, or it is not yours.');
  end if;
  return v_template;
end;
$$;
revoke execute on function private.bookable_template(uuid) from public, anon, authenticated, service_role;
comment on function private.bookable_template(uuid) is
  'security definer: whether a coach is active is not for callers to read. An active template of an active coach, else 404.';

create or replace function public.free_slots(p_coach_id uuid, p_template_id uuid, p_from timestamptz, p_to timestamptz)
returns table (starts_at timestamptz, ends_at timestamptz)
language plpgsql
stable
security definer
set search_path = ''
as $$
declare
  v_template public.session_templates;
  v_length interval;
  v_before interval;
  v_after interval;
  v_taken tstzmultirange;
begin
  if private.acting_as_api() and private.me() is null then
    perform private.fail(401, 'not_authenticated', 'Sign in to see free slots.');
  end if;
  if not coalesce(isfinite(p_from) and isfinite(p_to) and p_from < p_to, false) then
    perform private.fail(422, 'range_invalid', 'The end of the range must lie after its start.');
  elsif p_to - p_from > interval '62 days' then
    perform private.fail(422, 'range_too_long', 'Ask for at most 62 days at a time.');
  elsif p_to > now() + interval '5 years' then
    perform private.fail(422, 'range_invalid', 'The range lies more than five years from now.');
  end if;
  v_template := private.bookable_template(p_template_id);
  if v_template.coach_id <> p_coach_id then
    perform private.fail(404, 'not_found', 'There is no such thing, or it is not yours.');
  end if;
  if p_to <= now() then
    return;
  end if;
  v_length := make_interval(mins => v_template.default_duration_minutes);
  v_before := make_interval(mins => v_template.buffer_before_minutes);
  v_after := make_interval(mins => v_template.buffer_after_minutes);
  select range_agg(b.during) into v_taken
  from public.coach_blocks as b
  where b.coach_id = p_coach_id
    and b.during && tstzrange(greatest(p_from, now()) - v_before, p_to + v_length + v_after)
    and (b.expires_at is null or b.expires_at > now());
  return query
    select s.slot, s.slot + v_length
    from private.slot_starts(v_template, greatest(p_from, now()), p_to) as s (slot)
    where v_taken is null or not v_taken && tstzrange(s.slot - v_before, s.slot + v_length + v_after)
    order by s.slot;
end;
$$;
revoke execute on function public.free_slots(uuid, uuid, timestamptz, timestamptz) from public, anon, authenticated, service_role;
grant execute on function public.free_slots(uuid, uuid, timestamptz, timestamptz) to authenticated, service_role;
comment on function public.free_slots(uuid, uuid, timestamptz, timestamptz) is
  'security definer: a client may not read the coach''s sessions, only what they leave free. Free starts of a template in [p_from, p_to), at most 62 days, none in the past.';

create or replace function public.free_slots_json(
  p_coach_id uuid, p_template_id uuid, p_from timestamptz, p_to timestamptz, p_time_zone text
)
returns json
language plpgsql
stable
security invoker
set search_path = ''
as $$
begin
  if not private.is_time_zone(p_time_zone) then
    perform private.fail(422, 'timezone_unknown', format('There is no time zone named %L.', left(p_time_zone, 80)));
  end if;
  return (
    select json_build_object(
      'items', coalesce(json_agg(json_build_object(
        'starts_at', to_char(s.starts_at at time zone 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS"Z"'),
        'ends_at', to_char(s.ends_at at time zone 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS"Z"'),
        'local_start', to_char(s.starts_at at time zone p_time_zone, 'YYYY-MM-DD"T"HH24:MI:SS')
          || case when o.behind then '-' else '+' end || to_char(o.distance, 'HH24:MI')
      ) order by s.starts_at), '[]'),
      'next_cursor', null)
    from public.free_slots(p_coach_id, p_template_id, p_from, p_to) as s
    cross join lateral (select s.starts_at at time zone p_time_zone - s.starts_at at time zone 'UTC') as d (shift)
    cross join lateral (
      select d.shift < interval '0', case when d.shift < interval '0' then -d.shift else d.shift end
    ) as o (behind, distance)
  );
end;
$$;
revoke execute on function public.free_slots_json(uuid, uuid, timestamptz, timestamptz, text)
  from public, anon, authenticated, service_role;
grant execute on function public.free_slots_json(uuid, uuid, timestamptz, timestamptz, text) to authenticated, service_role;
comment on function public.free_slots_json(uuid, uuid, timestamptz, timestamptz, text) is
  'free_slots as the JSON of the HTTP API: {items: [{starts_at, ends_at, local_start}], next_cursor}, the local start with the offset it has in p_time_zone.';
