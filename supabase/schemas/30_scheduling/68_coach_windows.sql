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
  -- not depend on which days were asked for. One that goes on after midnight is its first day's.
  with off as (
    select o.day from public.availability_overrides as o where o.coach_id = p_coach_id
    union
    select h.day from public.coach_holidays as h where h.coach_id = p_coach_id and not h.works
  ), hours as (
    select a.timezone, a.start_time, a.end_time, a.continues_until, day.date
    from public.coach_availability as a
    cross join lateral (
      select (p_from at time zone a.timezone)::date - 1 + n as date
      from generate_series(0, (p_to at time zone a.timezone)::date - (p_from at time zone a.timezone)::date + 2) as n
    ) as day
    where a.coach_id = p_coach_id and a.is_available and extract(dow from day.date) = a.day_of_week
      and day.date not in (select off.day from off)
    union all
    select o.timezone, o.start_time, o.end_time, o.continues_until, o.day
    from public.availability_overrides as o
    where o.coach_id = p_coach_id and o.start_time is not null
      and o.day between (p_from at time zone o.timezone)::date - 1 and (p_to at time zone o.timezone)::date + 1
  ), windows as (
    select unnest(range_agg(tstzrange(
      private.local_instant(date + start_time, timezone),
      case
        when continues_until is null then private.local_instant(date + end_time, timezone)
        else private.local_instant(date + 1 + continues_until, timezone)
      end))) as during
    from hours
    group by timezone, date
  )
  select lower(during), upper(during) from windows where not isempty(during);
$$;
revoke execute on function private.coach_windows(uuid, timestamptz, timestamptz) from public, anon, authenticated, service_role;
comment on function private.coach_windows(uuid, timestamptz, timestamptz) is
  'security definer: availability is the coach''s own to read. The windows of the days around a range, as instants: the week''s, or those of the date where it has its own, and none on holidays that are kept.';

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
