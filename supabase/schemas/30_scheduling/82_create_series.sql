create or replace function public.create_series(
  p_template_id uuid,
  p_local_starts timestamp[],
  p_timezone text,
  p_rule text,
  p_client_id uuid default null,
  p_missing text default 'ask',
  p_only integer[] default null,
  p_capacity integer default null
)
returns uuid
language plpgsql
volatile
security definer
set search_path = ''
as $$
declare
  v_me uuid := private.me();
  v_template public.session_templates := private.series_template(p_template_id, p_local_starts, p_timezone, p_missing);
  v_client_id uuid;
  v_time record;
  v_problems text;
  v_count integer;
  v_series_id uuid;
  v_session_id uuid;
begin
  -- Sessions of a group begin without people: the coach invites them, to one or to all from one on.
  if v_template.session_type = 'individual' or p_client_id is not null then
    v_client_id := private.client_to_book(v_template, p_client_id);
  end if;
  if p_capacity is not null and (v_client_id is not null or p_capacity not between 1 and 1000) then
    perform private.fail(422, 'capacity_out_of_range', 'A group has between 1 and 1000 seats, a session between two none to set.');
  end if;
  -- Two series that want the same weeks in another order would wait for each other's; so one comes after the other.
  perform private.lock_coach_time(v_template.coach_id);
  select
    string_agg(
      format('%s: %s', to_char(p.local_start, 'YYYY-MM-DD HH24:MI'), concat_ws(', ', replace(p.problem, '_', ' '), p.taken_by)),
      '; ' order by p.ordinal),
    count(*)
  into v_problems, v_count
  from private.series_plan(v_template, p_local_starts, p_timezone, p_missing) as p
  where p.problem <> 'skipped' and (p_only is null or p.ordinal = any (p_only));
  if v_problems is not null then
    perform private.fail(409, 'series_conflict', format('%s of the times cannot be booked. Nothing was.', v_count), v_problems);
  end if;
  insert into public.session_series (coach_id, client_id, template_id, rule, timezone, created_by)
  values (v_template.coach_id, v_client_id, v_template.id, p_rule, p_timezone, v_me)
  returning id into v_series_id;
  v_count := 0;
  for v_time in
    select * from private.series_plan(v_template, p_local_starts, p_timezone, p_missing) as p
    where p.problem is null and (p_only is null or p.ordinal = any (p_only)) order by p.ordinal
  loop
    if v_template.coach_id <> v_me then
      -- Once more one by one: what was just written counts against limits per day and week.
      perform private.check_slot(v_template, v_time.starts_at);
    end if;
    insert into public.sessions (
      coach_id, client_id, type, title, description, scheduled_at, duration_minutes, template_id, capacity, timezone
    )
    values (
      v_template.coach_id, v_client_id, v_template.session_type, v_template.title, v_template.description, v_time.starts_at,
      v_template.default_duration_minutes, v_template.id, p_capacity, p_timezone
    )
    returning id into v_session_id;
    insert into public.series_sessions (session_id, series_id, coach_id, client_id, ordinal, local_start)
    values (v_session_id, v_series_id, v_template.coach_id, v_client_id, v_time.ordinal, v_time.local_start);
    v_count := v_count + 1;
  end loop;
  if v_count = 0 then
    perform private.fail(422, 'series_invalid', 'None of the times is left to book.');
  end if;
  return v_series_id;
end;
$$;
revoke execute on function public.create_series(uuid, timestamp[], text, text, uuid, text, integer[], integer)
  from public, anon, authenticated, service_role;
grant execute on function public.create_series(uuid, timestamp[], text, text, uuid, text, integer[], integer) to authenticated;
comment on function public.create_series(uuid, timestamp[], text, text, uuid, text, integer[], integer) is
  'security definer: a client may not insert sessions. Books every time of a series or nothing, and names what is in the way; p_only picks some by their place. Of a group template, by its coach and without a client, each is a group session with p_capacity seats, or as many as the template has. Gives the series'' id.';
