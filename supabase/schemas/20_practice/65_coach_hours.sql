create or replace function public.coach_hours(p_coach_id uuid)
returns table (day_of_week integer, start_time time, end_time time, timezone text)
language plpgsql
stable
security definer
set search_path = ''
as $$
begin
  if private.me() is null or not exists (
    select from public.users as u where u.id = p_coach_id and u.role = 'coach' and u.status = 'active'
  ) then
    perform private.fail(404, 'not_found', 'There is no such thing, or it is not yours.');
  end if;
  return query
    select a.day_of_week, a.start_time, coalesce(a.continues_until, a.end_time), a.timezone
    from public.coach_availability as a
    where a.coach_id = p_coach_id and a.is_available
    order by a.day_of_week, a.start_time;
end;
$$;
comment on function public.coach_hours(uuid) is
  'security definer: the rows, with buffers and switched-off hours, are the coach''s own. The hours in which sessions of an active coach may lie, to anybody signed in.';
revoke execute on function public.coach_hours(uuid) from public, anon, authenticated, service_role;
grant execute on function public.coach_hours(uuid) to authenticated;
