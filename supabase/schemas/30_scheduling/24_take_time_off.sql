create or replace function public.take_time_off(p_from timestamptz, p_to timestamptz, p_note text default null)
returns uuid
language plpgsql
volatile
security definer
set search_path = ''
as $$
declare
  v_me uuid := private.me();
  v_id uuid;
begin
  if v_me is null or not private.i_am_coach() then
    perform private.fail(404, 'not_found', 'There is no such thing, or it is not yours.');
  elsif not coalesce(isfinite(p_from) and isfinite(p_to) and p_from < p_to, false) then
    perform private.fail(422, 'range_invalid', 'The end of the range must lie after its start.');
  elsif p_to - p_from > interval '3 years' then
    perform private.fail(422, 'range_too_long', 'Time off is at most three years long.');
  end if;
  delete from public.coach_blocks as b
  where b.coach_id = v_me and b.kind = 'hold' and b.expires_at <= now() and b.during && tstzrange(p_from, p_to);
  insert into public.coach_blocks (coach_id, kind, during, note)
  values (v_me, 'time_off', tstzrange(p_from, p_to), p_note)
  on conflict on constraint coach_blocks_no_overlap do nothing
  returning id into v_id;
  if v_id is null then
    perform private.fail(409, 'time_off_conflict', 'Something is planned in that time.', (
      select string_agg(format('%s: %s', p.what, to_char(lower(p.during) at time zone 'UTC', 'YYYY-MM-DD"T"HH24:MI"Z"')), '; '
        order by p.during)
      from (
        select coalesce(s.title, replace(b.kind, '_', ' ')) as what, b.during
        from public.coach_blocks as b left join public.sessions as s on s.id = b.session_id
        where b.coach_id = v_me and b.during && tstzrange(p_from, p_to)
        order by b.during limit 10
      ) as p));
  end if;
  return v_id;
end;
$$;
revoke execute on function public.take_time_off(timestamptz, timestamptz, text) from public, anon, authenticated, service_role;
grant execute on function public.take_time_off(timestamptz, timestamptz, text) to authenticated;
comment on function public.take_time_off(timestamptz, timestamptz, text) is
  'security definer: expired holds are nobody''s to delete. The calling coach takes time off; what is planned in it is named and has to be moved or cancelled first. Gives the block''s id.';
