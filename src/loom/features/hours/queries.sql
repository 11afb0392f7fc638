-- name: get_rules
select
  r.min_notice_minutes, r.horizon_days, r.max_per_day, r.max_per_week, r.week_starts_on, r.no_show_grace_minutes
from public.booking_rules as r
where r.coach_id = (select private.me())

-- name: set_rules
insert into public.booking_rules (
  coach_id, min_notice_minutes, horizon_days, max_per_day, max_per_week, week_starts_on, no_show_grace_minutes
)
values (
  (select private.me()), %(min_notice_minutes)s, %(horizon_days)s, %(max_per_day)s, %(max_per_week)s, %(week_starts_on)s,
  %(no_show_grace_minutes)s
)
on conflict (coach_id) do update set
  min_notice_minutes = excluded.min_notice_minutes, horizon_days = excluded.horizon_days,
  max_per_day = excluded.max_per_day, max_per_week = excluded.max_per_week, week_starts_on = excluded.week_starts_on,
  no_show_grace_minutes = excluded.no_show_grace_minutes
returning min_notice_minutes, horizon_days, max_per_day, max_per_week, week_starts_on, no_show_grace_minutes

-- name: list_days
select
  o.day, to_char(o.start_time, 'HH24:MI') as start_time, to_char(coalesce(o.continues_until, o.end_time), 'HH24:MI') as end_time,
  o.timezone
from public.availability_overrides as o
where o.coach_id = (select private.me())
  and (%(first)s::date is null or o.day >= %(first)s)
  and (%(last)s::date is null or o.day <= %(last)s)
order by o.day, o.start_time
limit 1000

-- name: set_day
select
  o.day, to_char(o.start_time, 'HH24:MI') as start_time, to_char(coalesce(o.continues_until, o.end_time), 'HH24:MI') as end_time,
  o.timezone
from public.set_day(%(day)s, %(timezone)s, %(ranges)s::jsonb) as o
order by o.start_time

-- name: clear_day
delete from public.availability_overrides as o where o.coach_id = (select private.me()) and o.day = %(day)s

-- name: list_calendars
select c.id, c.country, c.subdivision, c.covers_until
from public.holiday_calendars as c
where c.coach_id = (select private.me())
order by c.country

-- name: own_language
select u.language from public.users as u where u.id = (select private.me())

-- name: set_holidays
select public.set_holidays(%(country)s, %(subdivision)s, %(covers_until)s, %(days)s::jsonb)

-- name: get_calendar
select c.id, c.country, c.subdivision, c.covers_until from public.holiday_calendars as c where c.id = %(id)s

-- name: drop_calendar
delete from public.holiday_calendars as c where c.coach_id = (select private.me()) and c.country = %(country)s

-- name: list_holidays
select h.id, h.day, h.name, h.works
from public.coach_holidays as h
where h.coach_id = (select private.me()) and h.day between %(first)s and %(last)s
order by h.day, h.name
limit 1000

-- name: change_holiday
update public.coach_holidays as h set works = %(works)s where h.id = %(id)s returning h.id, h.day, h.name, h.works

-- name: list_time_off
select b.id, lower(b.during) as starts_at, upper(b.during) as ends_at, b.note, b.created_at
from public.coach_blocks as b
where b.coach_id = (select private.me()) and b.kind = 'time_off'
  and (%(after_id)s::uuid is null or (lower(b.during), b.id) > (%(after_time)s::timestamptz, %(after_id)s))
order by lower(b.during), b.id
limit %(limit)s

-- name: take_time_off
select public.take_time_off(%(starts_at)s, %(ends_at)s, %(note)s)

-- name: get_time_off
select b.id, lower(b.during) as starts_at, upper(b.during) as ends_at, b.note, b.created_at
from public.coach_blocks as b
where b.id = %(id)s and b.kind = 'time_off'

-- name: give_time_back
delete from public.coach_blocks as b where b.id = %(id)s and b.kind = 'time_off'

-- name: calendars_to_renew
-- role: service_role
select c.id, c.coach_id, c.country, c.subdivision, u.language::text as language
from public.holiday_calendars as c
join public.users as u on u.id = c.coach_id
where c.covers_until is null or c.covers_until < %(until)s
order by c.id
limit 500

-- name: renew_holidays
-- role: service_role
with calendar as (
  update public.holiday_calendars as c set covers_until = %(until)s where c.id = %(id)s returning c.id, c.coach_id
)
insert into public.coach_holidays (calendar_id, coach_id, day, name)
select c.id, c.coach_id, d.day, d.name
from calendar as c, jsonb_to_recordset(%(days)s::jsonb) as d (day date, name text)
on conflict on constraint coach_holidays_one_each do nothing
