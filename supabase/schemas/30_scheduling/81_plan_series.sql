-- What a series would come to, before anything is written.

create or replace function private.series_plan(
  p_template public.session_templates, p_local_starts timestamp[], p_timezone text, p_missing text
)
returns table (ordinal integer, local_start timestamp, starts_at timestamptz, problem text, taken_by text)
language plpgsql
stable
security definer
set search_path = ''
as $$
declare
  v_is_coach boolean := p_template.coach_id is not distinct from private.me();
  v_before interval := make_interval(mins => p_template.buffer_before_minutes);
  v_rest interval := make_interval(mins => p_template.default_duration_minutes + p_template.buffer_after_minutes);
begin
  return query
    with times as (
      select l.place::integer as n, l.local_time, l.local_time at time zone p_timezone as starts
      from unnest(p_local_starts) with ordinality as l (local_time, place)
    ), spans as (
      -- A wall time that the clock skips comes back as another one. It is shown, and asked about.
      select t.*, tstzrange(t.starts - v_before, t.starts + v_rest) as during,
        t.starts at time zone p_timezone <> t.local_time as is_missing
      from times as t
    )
    select s.n, s.local_time, s.starts, case
      when s.is_missing and p_missing = 'skip' then 'skipped'
      when s.is_missing and p_missing <> 'later' then 'time_does_not_exist'
      when s.starts <= now() then 'past'
      when exists (select from spans as o where o.n < s.n and o.during && s.during) then 'overlaps_itself'
      when b.id is not null then 'taken'
      when not v_is_coach then private.reason_of(p_template, s.starts)
    end, case when v_is_coach then b.what end
    from spans as s
    left join lateral (
      select b.id, coalesce(e.title, replace(b.kind, '_', ' ')) as what
      from public.coach_blocks as b
      left join public.sessions as e on e.id = b.session_id
      where b.coach_id = p_template.coach_id and b.during && s.during and (b.expires_at is null or b.expires_at > now())
      order by b.during
      limit 1
    ) as b on true
    order by s.n;
end;
$$;
revoke execute on function private.series_plan(public.session_templates, timestamp[], text, text)
  from public, anon, authenticated, service_role;
comment on function private.series_plan(public.session_templates, timestamp[], text, text) is
  'security definer: the coach''s time is not for callers to read. Each time of a series with what is wrong with it for the caller, and for the coach what takes it.';

create or replace function private.series_template(p_template_id uuid, p_local_starts timestamp[], p_timezone text, p_missing text)
returns public.session_templates
language plpgsql
stable
security definer
set search_path = ''
as $$
declare
  v_template public.session_templates := private.bookable_template(p_template_id);
begin
  perform private.check_booking_mode(v_template);
  if v_template.session_type <> 'individual' and v_template.coach_id <> private.me() then
    perform private.fail(422, 'template_is_group', 'A group session is joined by invitation.');
  elsif not private.is_time_zone(p_timezone) then
    perform private.fail(422, 'timezone_unknown', format('There is no time zone named %L.', left(p_timezone, 80)));
  elsif p_missing is null or p_missing not in ('ask', 'later', 'skip') then
    perform private.fail(422, 'series_invalid', 'Times that do not exist are asked about, taken later, or skipped.');
  elsif coalesce(cardinality(p_local_starts), 0) not between 1 and 104
    or exists (select from unnest(p_local_starts) as l where l is null or not isfinite(l)) then
    perform private.fail(422, 'series_invalid', 'A series has 1 to 104 times.');
  end if;
  return v_template;
end;
$$;
revoke execute on function private.series_template(uuid, timestamp[], text, text) from public, anon, authenticated, service_role;
comment on function private.series_template(uuid, timestamp[], text, text) is
  'security definer: called by definer functions. The template of a series that the caller may book as far as its arguments go.';

create or replace function public.plan_series(
  p_template_id uuid, p_local_starts timestamp[], p_timezone text, p_missing text default 'ask'
)
returns table (ordinal integer, local_start timestamp, starts_at timestamptz, problem text, taken_by text)
language plpgsql
stable
security definer
set search_path = ''
as $$
declare
  v_template public.session_templates := private.series_template(p_template_id, p_local_starts, p_timezone, p_missing);
begin
  return query select * from private.series_plan(v_template, p_local_starts, p_timezone, p_missing);
end;
$$;
revoke execute on function public.plan_series(uuid, timestamp[], text, text) from public, anon, authenticated, service_role;
grant execute on function public.plan_series(uuid, timestamp[], text, text) to authenticated;
comment on function public.plan_series(uuid, timestamp[], text, text) is
  'security definer: shares the plan with create_series. What would become of each wall time: its instant and what is wrong with it, null when nothing is. Writes nothing. p_missing says what becomes of times that a clock change skips: ask, later or skip.';
