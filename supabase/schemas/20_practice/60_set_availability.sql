create or replace function private.hours_over_midnight(p_start time, inout end_time time, out continues_until time)
language sql
immutable
security invoker
set search_path = ''
as $$
  select
    case when end_time < p_start or end_time = '00:00' then time '24:00' else end_time end,
    case when end_time < p_start and end_time > '00:00' then end_time end
$$;
comment on function private.hours_over_midnight(time, time) is
  'Hours as people write them, 22:00 to 02:00, as they are kept: until 24:00, and on until 02:00.';
revoke execute on function private.hours_over_midnight(time, time) from public, anon, authenticated, service_role;
grant execute on function private.hours_over_midnight(time, time) to authenticated, service_role;

create or replace function public.set_availability(p_timezone text, p_ranges jsonb)
returns setof public.coach_availability
language plpgsql
security invoker
set search_path = ''
as $$
declare
  coach uuid := private.me();
begin
  if coach is null or not private.i_am_coach() then
    perform private.fail(404, 'not_found', 'There is no such thing, or it is not yours.');
  end if;
  if jsonb_typeof(p_ranges) is distinct from 'array' or jsonb_array_length(p_ranges) > 168 then
    perform private.fail(422, 'availability_invalid', 'The week is a list of at most 168 ranges.');
  end if;
  -- Two weeks set at once come one after the other, and the later one sees what the earlier one left.
  perform u.id from public.users as u where u.id = coach for no key update;
  -- The whole week in one statement's transaction: nobody sees a coach without hours in between.
  delete from public.coach_availability as a where a.coach_id = coach;
  insert into public.coach_availability
    (coach_id, day_of_week, start_time, end_time, continues_until, timezone, buffer_before_minutes, buffer_after_minutes)
  select
    coach, r.day_of_week, r.start_time, h.end_time, h.continues_until, p_timezone,
    coalesce(r.buffer_before_minutes, 0), coalesce(r.buffer_after_minutes, 0)
  from jsonb_to_recordset(p_ranges) as r (
    day_of_week integer, start_time time, end_time time, buffer_before_minutes integer, buffer_after_minutes integer
  )
  cross join lateral private.hours_over_midnight(r.start_time, r.end_time) as h;
  return query
    select * from public.coach_availability as a where a.coach_id = coach order by a.day_of_week, a.start_time;
end;
$$;
comment on function public.set_availability(text, jsonb) is
  'Replaces the caller''s week by the ranges given: [{"day_of_week": 0, "start_time": "09:00", "end_time": "12:00"}], wall time in the zone. One that ends no later than it starts goes on after midnight.';
revoke execute on function public.set_availability(text, jsonb) from public, anon, authenticated, service_role;
grant execute on function public.set_availability(text, jsonb) to authenticated;
