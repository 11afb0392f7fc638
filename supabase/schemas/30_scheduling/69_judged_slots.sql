-- Whether a start can be booked, and if not, why: one judgement for what is offered and for what is accepted.

-- The template, if it can be booked: it and its coach are active.
create or replace function private.bookable_template(p_template_id uuid)
returns public.session_templates
language plpgsql
stable
security definer
set search_path = ''
as $$
declare
  v_template public.session_templates;
begin
  select t.* into v_template
  from public.session_templates as t
  join public.users as u on u.id = t.coach_id
  where t.id = p_template_id and t.is_active and u.status = 'active' and u.role = 'coach';
  if v_template.id is null then
    perform private.fail(404, 'not_found', 'There is no such thing, or it is not yours.');
  end if;
  return v_template;
end;
$$;
revoke execute on function private.bookable_template(uuid) from public, anon, authenticated, service_role;
comment on function private.bookable_template(uuid) is
  'security definer: whether a coach is active is not for callers to read. An active template of an active coach, else 404.';

-- Every session and hold that fills a day of the coach, whoever made it. What was cancelled does not.
create or replace function private.coach_load(p_coach_id uuid, p_from timestamptz, p_to timestamptz, p_session_id uuid)
returns table (starts_at timestamptz, template_id uuid)
language sql
stable
security definer
set search_path = ''
as $$
  select s.scheduled_at, s.template_id from public.sessions as s
  where s.coach_id = p_coach_id and s.scheduled_at >= p_from and s.scheduled_at < p_to
    and s.status in ('scheduled', 'in_progress', 'completed', 'no_show') and s.id is distinct from p_session_id
  union all
  select r.starts_at, r.template_id from public.booking_requests as r
  where r.coach_id = p_coach_id and r.starts_at >= p_from and r.starts_at < p_to
    and r.status = 'pending' and r.block_id is not null and r.expires_at > now();
$$;
revoke execute on function private.coach_load(uuid, timestamptz, timestamptz, uuid) from public, anon, authenticated, service_role;
comment on function private.coach_load(uuid, timestamptz, timestamptz, uuid) is
  'security definer: a coach''s sessions are not for callers to read. What counts against limits per day and week, one session left out.';

create or replace function private.judged_slots(
  p_template public.session_templates, p_from timestamptz, p_to timestamptz, p_session_id uuid default null
)
returns table (starts_at timestamptz, reason text)
language plpgsql
stable
security definer
set search_path = ''
as $$
declare
  v_rules public.booking_rules;
  v_length interval := make_interval(mins => p_template.default_duration_minutes);
  v_before interval := make_interval(mins => p_template.buffer_before_minutes);
  v_after interval := make_interval(mins => p_template.buffer_after_minutes);
  v_first timestamptz;
  v_last timestamptz;
  v_zone text;
  v_limited boolean;
  v_taken tstzmultirange;
begin
  select * into v_rules from public.booking_rules as r where r.coach_id = p_template.coach_id;
  v_first := now() + make_interval(mins => coalesce(p_template.min_notice_minutes, v_rules.min_notice_minutes, 0));
  v_last := now() + make_interval(hours => 24 * coalesce(p_template.horizon_days, v_rules.horizon_days, 1825));
  v_limited := num_nonnulls(v_rules.max_per_day, v_rules.max_per_week, p_template.max_per_day, p_template.max_per_week) > 0;
  select coalesce(u.timezone, 'UTC') into v_zone from public.users as u where u.id = p_template.coach_id;
  select coalesce(range_agg(b.during), '{}') into v_taken
  from public.coach_blocks as b
  where b.coach_id = p_template.coach_id
    and b.during && tstzrange(p_from - v_before, p_to + v_length + v_after)
    and (b.expires_at is null or b.expires_at > now()) and (p_session_id is null or b.session_id is distinct from p_session_id);
  if not v_limited then
    return query
      select s.slot, case
        when s.slot < v_first then 'too_soon'
        when s.slot > v_last then 'too_far_ahead'
        when v_taken && tstzrange(s.slot - v_before, s.slot + v_length + v_after) then 'taken'
      end
      from private.slot_starts(p_template, p_from, p_to) as s (slot);
    return;
  end if;
  return query
    with load as (
      select (l.starts_at at time zone v_zone)::date as day, l.template_id is not distinct from p_template.id as same
      from private.coach_load(p_template.coach_id, p_from - interval '8 days', p_to + interval '8 days', p_session_id) as l
    ), by_day as (
      select day, count(*) as everything, count(*) filter (where same) as alike from load group by day
    ), by_week as (
      select private.week_of(day, v_rules.week_starts_on) as week, count(*) as everything, count(*) filter (where same) as alike
      from load group by 1
    )
    select s.slot, case
      when s.slot < v_first then 'too_soon'
      when s.slot > v_last then 'too_far_ahead'
      when v_taken && tstzrange(s.slot - v_before, s.slot + v_length + v_after) then 'taken'
      when d.everything >= v_rules.max_per_day or d.alike >= p_template.max_per_day then 'day_full'
      when w.everything >= v_rules.max_per_week or w.alike >= p_template.max_per_week then 'week_full'
    end
    from private.slot_starts(p_template, p_from, p_to) as s (slot)
    left join by_day as d on d.day = (s.slot at time zone v_zone)::date
    left join by_week as w on w.week = private.week_of((s.slot at time zone v_zone)::date, v_rules.week_starts_on);
end;
$$;
revoke execute on function private.judged_slots(public.session_templates, timestamptz, timestamptz, uuid)
  from public, anon, authenticated, service_role;
comment on function private.judged_slots(public.session_templates, timestamptz, timestamptz, uuid) is
  'security definer: the coach''s rules and sessions are not for callers to read. Every start of a template in a range, with the reason why a client cannot have it, null when they can. One session may be left out: that which moves.';

create or replace function private.week_of(p_day date, p_week_starts_on integer)
returns date
language sql
immutable
security invoker
set search_path = ''
as $$
  select p_day - (extract(dow from p_day)::integer - coalesce(p_week_starts_on, 0) + 7) % 7
$$;
revoke execute on function private.week_of(date, integer) from public, anon, authenticated, service_role;
comment on function private.week_of(date, integer) is 'The first day of the week that a day is in.';

create or replace function private.check_slot(p_template public.session_templates, p_starts_at timestamptz, p_session_id uuid default null)
returns void
language plpgsql
volatile
security definer
set search_path = ''
as $$
declare
  v_found boolean;
  v_reason text;
begin
  if not coalesce(isfinite(p_starts_at) and p_starts_at >= now(), false) then
    perform private.fail(422, 'session_in_past', 'A session cannot start in the past.');
  end if;
  if num_nonnulls(p_template.max_per_day, p_template.max_per_week) > 0 or exists (
    select from public.booking_rules as r
    where r.coach_id = p_template.coach_id and num_nonnulls(r.max_per_day, r.max_per_week) > 0
  ) then
    -- Whoever counts waits for whoever counted before; what they wrote is seen by the next statement, not by this one's snapshot.
    perform private.lock_coach_time(p_template.coach_id);
  end if;
  select true, s.reason into v_found, v_reason
  from private.judged_slots(p_template, p_starts_at, p_starts_at + interval '1 second', p_session_id) as s
  where s.starts_at = p_starts_at;
  if v_found is null then
    perform private.fail(422, 'slot_not_offered', 'The coach does not offer a session at that time.');
  end if;
  case v_reason
    when 'too_soon' then perform private.fail(422, 'too_soon', 'It is too late to book that time; ask the coach.');
    when 'too_far_ahead' then perform private.fail(422, 'too_far_ahead', 'The coach does not take bookings that far ahead yet.');
    when 'taken' then perform private.fail(409, 'slot_taken', 'The coach is taken at that time.');
    when 'day_full' then perform private.fail(409, 'day_full', 'The coach takes no more sessions on that day.');
    when 'week_full' then perform private.fail(409, 'week_full', 'The coach takes no more sessions in that week.');
    else null;
  end case;
end;
$$;
revoke execute on function private.check_slot(public.session_templates, timestamptz, uuid) from public, anon, authenticated, service_role;
comment on function private.check_slot(public.session_templates, timestamptz, uuid) is
  'security definer: called by definer functions. Refuses a start that a client cannot have, by the judgement that free slots are made of.';

create or replace function private.lock_coach_time(p_coach_id uuid)
returns void
language plpgsql
volatile
security invoker
set search_path = ''
as $$
begin
  perform private.need_read_committed();
  perform pg_advisory_xact_lock(hashtextextended('loom.coach_time:' || p_coach_id, 0));
end;
$$;
revoke execute on function private.lock_coach_time(uuid) from public, anon, authenticated, service_role;
comment on function private.lock_coach_time(uuid) is
  'Waits for whoever else moves or counts sessions of the coach, until the end of the transaction. Comes before locks of rows.';
