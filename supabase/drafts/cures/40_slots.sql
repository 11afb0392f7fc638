-- Functions on slots that failed on every call: a parameter had the name of a column. They answer by what blocks a coach today. Their
-- signatures stay as they are found; one of another shape stays closed.
do $$
declare
  found record;
  body text;
begin
  for found in
    select p.oid::regprocedure as signature, p.proname, pg_get_function_arguments(p.oid) as arguments,
      pg_get_function_result(p.oid) as result
    from pg_proc as p
    where p.pronamespace = 'public'::regnamespace and p.prokind = 'f' and p.prosecdef
      and pg_has_role(current_user, p.proowner, 'member')
      and (
        (p.proname = 'is_time_slot_available' and p.prorettype = 'boolean'::regtype
          and string_to_array(p.proargtypes::text, ' ')::oid[] = array['uuid', 'timestamptz', 'integer']::regtype[]::oid[])
        or (p.proname = 'get_available_time_slots' and p.proretset
          and string_to_array(p.proargtypes::text, ' ')::oid[] = array['uuid', 'date', 'integer']::regtype[]::oid[]
          and (p.proallargtypes)[4:] = array['timestamptz', 'timestamptz', 'boolean']::regtype[]::oid[]))
  loop
    body := case found.proname
      when 'is_time_slot_available' then $f$
        select not exists (
          select from public.coach_blocks as b
          where b.coach_id = $1 and b.during && tstzrange($2, $2 + make_interval(mins => greatest($3, 1)))
            and (b.expires_at is null or b.expires_at > now()))
          and (private.me() is not null or not private.acting_as_api())
      $f$
      else $f$
        select s.starts_at, s.starts_at + s.length, not exists (
          select from public.coach_blocks as b
          where b.coach_id = $1 and b.during && tstzrange(s.starts_at, s.starts_at + s.length)
            and (b.expires_at is null or b.expires_at > now()))
        from (
          select distinct g.starts_at, make_interval(mins => greatest($3, 5)) as length
          from public.coach_availability as a
          cross join lateral generate_series(
            private.local_instant($2 + a.start_time, a.timezone),
            private.local_instant($2 + a.end_time, a.timezone) - make_interval(mins => greatest($3, 5)),
            make_interval(mins => greatest($3, 5))
          ) as g (starts_at)
          where a.coach_id = $1 and a.is_available and a.day_of_week = extract(dow from $2)
        ) as s
        where private.me() is not null or not private.acting_as_api()
        order by s.starts_at
      $f$
    end;
    execute format(
      'create or replace function public.%I(%s) returns %s language sql stable security definer set search_path = '''' as %L',
      found.proname, found.arguments, found.result, body);
    execute format('grant execute on function %s to authenticated, service_role', found.signature);
  end loop;
end;
$$;
