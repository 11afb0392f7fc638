create or replace function private.quiet_until(p_user_id uuid, p_at timestamptz default now())
returns timestamptz
language plpgsql
stable
security definer
set search_path = ''
as $$
declare
  v_choice record;
  v_local timestamp;
  v_end timestamp;
  v_until timestamptz;
begin
  select n.quiet_hours_start as starts, n.quiet_hours_end as ends, coalesce(n.timezone, 'UTC') as zone into v_choice
  from public.notification_preferences as n
  where n.user_id = p_user_id and n.quiet_hours_enabled;
  if not found then
    return null;
  end if;
  -- Quiet hours are wall time where the person is, so a night has an hour more or less when clocks change.
  v_local := p_at at time zone v_choice.zone;
  v_end := v_local::date + v_choice.ends;
  if v_choice.starts < v_choice.ends then
    if v_local::time < v_choice.starts or v_local::time >= v_choice.ends then
      return null;
    end if;
  elsif v_local::time >= v_choice.starts then
    v_end := v_end + interval '1 day';
  elsif v_local::time >= v_choice.ends then
    return null;
  end if;
  v_until := v_end at time zone v_choice.zone;
  return case when v_until > p_at then v_until end;
end;
$$;
comment on function private.quiet_until(uuid, timestamptz) is
  'security definer: reads somebody''s preferences. When the quiet hours end in which the person is at an instant; null outside them.';
revoke execute on function private.quiet_until(uuid, timestamptz) from public, anon, authenticated, service_role;
grant execute on function private.quiet_until(uuid, timestamptz) to service_role;
