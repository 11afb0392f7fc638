-- Why a time is not on offer. Clients learn that somebody or something takes it, the coach also what.

create or replace function private.reason_of(p_template public.session_templates, p_at timestamptz)
returns text
language plpgsql
stable
security definer
set search_path = ''
as $$
declare
  v_found boolean;
  v_reason text;
  v_day date := (p_at at time zone (
    select coalesce(max(a.timezone), 'UTC') from public.coach_availability as a where a.coach_id = p_template.coach_id))::date;
begin
  if p_at < now() then
    return 'past';
  end if;
  select true, s.reason into v_found, v_reason
  from private.judged_slots(p_template, p_at, p_at + interval '1 second') as s where s.starts_at = p_at;
  if v_found then
    return v_reason;
  elsif exists (
    select from private.coach_windows(p_template.coach_id, p_at, p_at + interval '1 second') as w
    where p_at >= w.opens_at and p_at + make_interval(mins => p_template.default_duration_minutes) <= w.closes_at
  ) then
    return 'not_a_start';
  elsif exists (select from public.availability_overrides as o where o.coach_id = p_template.coach_id and o.day = v_day) then
    return 'other_hours_that_day';
  elsif exists (
    select from public.coach_holidays as h where h.coach_id = p_template.coach_id and h.day = v_day and not h.works
  ) then
    return 'holiday';
  end if;
  return 'outside_hours';
end;
$$;
revoke execute on function private.reason_of(public.session_templates, timestamptz) from public, anon, authenticated, service_role;
comment on function private.reason_of(public.session_templates, timestamptz) is
  'security definer: the coach''s hours and rules are not for callers to read. Why a client cannot have a time, null when they can.';

create or replace function public.slot_reason(p_coach_id uuid, p_template_id uuid, p_at timestamptz)
returns jsonb
language plpgsql
stable
security definer
set search_path = ''
as $$
declare
  v_template public.session_templates := private.asked_template(p_coach_id, p_template_id, p_at, p_at + interval '1 second');
  v_reason text := private.reason_of(v_template, p_at);
begin
  return jsonb_build_object(
    'starts_at', p_at,
    'reason', v_reason,
    'taken_by', (
      select jsonb_agg(jsonb_build_object('kind', b.kind, 'from', lower(b.during), 'to', upper(b.during), 'session_id', b.session_id)
        order by b.during)
      from public.coach_blocks as b
      where v_reason = 'taken' and p_coach_id = private.me() and b.coach_id = p_coach_id
        and (b.expires_at is null or b.expires_at > now())
        and b.during && tstzrange(
          p_at - make_interval(mins => v_template.buffer_before_minutes),
          p_at + make_interval(mins => v_template.default_duration_minutes + v_template.buffer_after_minutes))));
end;
$$;
revoke execute on function public.slot_reason(uuid, uuid, timestamptz) from public, anon, authenticated, service_role;
grant execute on function public.slot_reason(uuid, uuid, timestamptz) to authenticated;
comment on function public.slot_reason(uuid, uuid, timestamptz) is
  'security definer: shares the judgement of free slots. Why a client cannot have a time: past, outside_hours, holiday, other_hours_that_day, not_a_start, too_soon, too_far_ahead, taken, day_full, week_full; null when they can. To the coach also what takes it.';

create or replace function public.judged_slots_json(
  p_coach_id uuid, p_template_id uuid, p_from timestamptz, p_to timestamptz, p_time_zone text
)
returns json
language plpgsql
stable
security definer
set search_path = ''
as $$
declare
  v_template public.session_templates := private.asked_template(p_coach_id, p_template_id, p_from, p_to);
begin
  if not private.is_time_zone(p_time_zone) then
    perform private.fail(422, 'timezone_unknown', format('There is no time zone named %L.', left(p_time_zone, 80)));
  end if;
  return (
    select json_build_object(
      'items', coalesce(json_agg(json_build_object(
        'starts_at', to_char(s.starts_at at time zone 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS"Z"'),
        'ends_at', to_char(
          (s.starts_at + make_interval(mins => v_template.default_duration_minutes)) at time zone 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS"Z"'),
        'local_start', to_char(o.wall, 'YYYY-MM-DD"T"HH24:MI:SS')
          || case when o.shift < interval '0' then '-' else '+' end
          || to_char(case when o.shift < interval '0' then -o.shift else o.shift end, 'HH24:MI'),
        'reason', s.reason
      ) order by s.starts_at), '[]'),
      'next_cursor', null)
    from private.judged_slots(v_template, greatest(p_from, now()), p_to) as s
    cross join lateral (
      select s.starts_at at time zone p_time_zone as wall,
        s.starts_at at time zone p_time_zone - s.starts_at at time zone 'UTC' as shift
    ) as o
    where p_to > now()
  );
end;
$$;
revoke execute on function public.judged_slots_json(uuid, uuid, timestamptz, timestamptz, text)
  from public, anon, authenticated, service_role;
grant execute on function public.judged_slots_json(uuid, uuid, timestamptz, timestamptz, text) to authenticated, service_role;
comment on function public.judged_slots_json(uuid, uuid, timestamptz, timestamptz, text) is
  'security definer: shares the judgement of free slots. Every start of a template in the coach''s hours, as the JSON of the HTTP API, each with the reason why it is not free, null when it is.';
