-- What is on offer, and why something is not.

create or replace function private.asked_template(p_coach_id uuid, p_template_id uuid, p_from timestamptz, p_to timestamptz)
returns public.session_templates
language plpgsql
stable
security definer
set search_path = ''
as $$
declare
  v_template public.session_templates;
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
  return v_template;
end;
$$;
revoke execute on function private.asked_template(uuid, uuid, timestamptz, timestamptz) from public, anon, authenticated, service_role;
comment on function private.asked_template(uuid, uuid, timestamptz, timestamptz) is
  'security definer: called by definer functions. The template whose slots are asked for, if both it and the range can be.';

create or replace function public.free_slots(p_coach_id uuid, p_template_id uuid, p_from timestamptz, p_to timestamptz)
returns table (starts_at timestamptz, ends_at timestamptz)
language plpgsql
stable
security definer
set search_path = ''
as $$
declare
  v_template public.session_templates := private.asked_template(p_coach_id, p_template_id, p_from, p_to);
begin
  if p_to <= now() then
    return;
  end if;
  return query
    select s.starts_at, s.starts_at + make_interval(mins => v_template.default_duration_minutes)
    from private.judged_slots(v_template, greatest(p_from, now()), p_to) as s
    where s.reason is null
    order by s.starts_at;
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
        'local_start', to_char(o.wall, 'YYYY-MM-DD"T"HH24:MI:SS')
          || case when o.shift < interval '0' then '-' else '+' end
          || to_char(case when o.shift < interval '0' then -o.shift else o.shift end, 'HH24:MI'),
        'reason', null
      ) order by s.starts_at), '[]'),
      'next_cursor', null)
    from public.free_slots(p_coach_id, p_template_id, p_from, p_to) as s
    -- In place, not in a function: a call for each of a thousand rows would take longer than all the rest.
    cross join lateral (
      select s.starts_at at time zone p_time_zone as wall,
        s.starts_at at time zone p_time_zone - s.starts_at at time zone 'UTC' as shift
    ) as o
  );
end;
$$;
revoke execute on function public.free_slots_json(uuid, uuid, timestamptz, timestamptz, text)
  from public, anon, authenticated, service_role;
grant execute on function public.free_slots_json(uuid, uuid, timestamptz, timestamptz, text) to authenticated, service_role;
comment on function public.free_slots_json(uuid, uuid, timestamptz, timestamptz, text) is
  'free_slots as the JSON of the HTTP API: {items: [{starts_at, ends_at, local_start, reason}], next_cursor}, the local start with the offset it has in p_time_zone.';
