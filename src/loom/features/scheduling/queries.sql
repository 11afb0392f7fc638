-- name: list_coaches
select id, name from public.active_coaches(%(after_name)s, %(after_id)s, %(limit)s)

-- name: create_template
insert into public.session_templates (
  coach_id, title, description, session_type, default_duration_minutes, default_price_cents, currency, default_capacity,
  buffer_before_minutes, buffer_after_minutes, slot_step_minutes, roster_visible, location, min_notice_minutes,
  horizon_days, max_per_day, max_per_week, booking_mode, request_blocks, hold_minutes,
  no_show_grace_minutes, auto_charge
)
values (
  %(coach_id)s, %(title)s, %(description)s, %(session_type)s, %(default_duration_minutes)s, %(default_price_cents)s,
  %(currency)s, %(default_capacity)s, %(buffer_before_minutes)s, %(buffer_after_minutes)s, %(slot_step_minutes)s,
  %(roster_visible)s, %(location)s, %(min_notice_minutes)s, %(horizon_days)s, %(max_per_day)s, %(max_per_week)s,
  %(booking_mode)s, %(request_blocks)s, %(hold_minutes)s, %(no_show_grace_minutes)s,
  %(auto_charge)s
)
returning *

-- name: list_templates
select *
from public.session_templates
where (%(coach_id)s::uuid is null or coach_id = %(coach_id)s)
  and (%(active)s::boolean is null or is_active = %(active)s)
  and (%(after_id)s::uuid is null or (title, id) > (%(after_title)s, %(after_id)s))
order by title, id
limit %(limit)s

-- name: get_template
select * from public.session_templates where id = %(id)s

-- name: update_template
update public.session_templates as t
set (
  title, description, default_duration_minutes, default_price_cents, currency, default_capacity, buffer_before_minutes,
  buffer_after_minutes, slot_step_minutes, roster_visible, location, is_active, min_notice_minutes, horizon_days,
  max_per_day, max_per_week, booking_mode, request_blocks, hold_minutes, no_show_grace_minutes, auto_charge
) = (
  select
    n.title, n.description, n.default_duration_minutes, n.default_price_cents, n.currency, n.default_capacity,
    n.buffer_before_minutes, n.buffer_after_minutes, n.slot_step_minutes, n.roster_visible, n.location, n.is_active,
    n.min_notice_minutes, n.horizon_days, n.max_per_day, n.max_per_week, n.booking_mode, n.request_blocks, n.hold_minutes,
    n.no_show_grace_minutes, n.auto_charge
  from jsonb_populate_record(t, %(changes)s::jsonb) as n
)
where t.id = %(id)s
returning *

-- name: slot_reason
select r.*
from jsonb_to_record(public.slot_reason(%(coach_id)s, %(template_id)s, %(at)s)) as r (
  starts_at timestamptz, reason text, taken_by jsonb
)

-- name: book_session
select public.book_session(%(template_id)s, %(starts_at)s, %(client_id)s, %(timezone)s)

-- name: create_group_session
select public.create_group_session(
  %(template_id)s, %(starts_at)s, %(capacity)s, %(title)s, %(description)s, %(duration_minutes)s, %(timezone)s,
  %(location)s, %(meeting_url)s, %(price_cents)s, %(currency)s, %(roster_visible)s
)

-- name: get_session
select * from public.sessions where id = %(id)s

-- name: list_my_sessions
-- Branch by branch, each along its own index: the policy alone would walk everybody's sessions in order of time.
-- Nobody is in both: a coach's own seats are not among the second.
with mine as (
  (
    select s.*
    from public.sessions as s
    where s.coach_id = (select private.me())
      and (%(starts_from)s::timestamptz is null or s.scheduled_at >= %(starts_from)s)
      and (%(starts_before)s::timestamptz is null or s.scheduled_at < %(starts_before)s)
      and (%(status)s::public.session_status is null or s.status = %(status)s::public.session_status)
      and (%(type)s::text is null or s.type = %(type)s)
      and (%(after_id)s::uuid is null or (s.scheduled_at, s.id) > (%(after_time)s::timestamptz, %(after_id)s))
    order by s.scheduled_at, s.id
    limit %(limit)s
  )
  union all
  (
    select s.*
    from public.sessions as s
    where s.id = any ((select private.my_seat_session_ids())::uuid[])
      and (%(starts_from)s::timestamptz is null or s.scheduled_at >= %(starts_from)s)
      and (%(starts_before)s::timestamptz is null or s.scheduled_at < %(starts_before)s)
      and (%(status)s::public.session_status is null or s.status = %(status)s::public.session_status)
      and (%(type)s::text is null or s.type = %(type)s)
      and (%(after_id)s::uuid is null or (s.scheduled_at, s.id) > (%(after_time)s::timestamptz, %(after_id)s))
    order by s.scheduled_at, s.id
    limit %(limit)s
  )
)
select *
from mine
order by scheduled_at, id
limit %(limit)s

-- name: list_my_sessions_latest_first
-- Branch by branch, each along its own index: the policy alone would walk everybody's sessions in order of time.
-- Nobody is in both: a coach's own seats are not among the second.
with mine as (
  (
    select s.*
    from public.sessions as s
    where s.coach_id = (select private.me())
      and (%(starts_from)s::timestamptz is null or s.scheduled_at >= %(starts_from)s)
      and (%(starts_before)s::timestamptz is null or s.scheduled_at < %(starts_before)s)
      and (%(status)s::public.session_status is null or s.status = %(status)s::public.session_status)
      and (%(type)s::text is null or s.type = %(type)s)
      and (%(after_id)s::uuid is null or (s.scheduled_at, s.id) < (%(after_time)s::timestamptz, %(after_id)s))
    order by s.scheduled_at desc, s.id desc
    limit %(limit)s
  )
  union all
  (
    select s.*
    from public.sessions as s
    where s.id = any ((select private.my_seat_session_ids())::uuid[])
      and (%(starts_from)s::timestamptz is null or s.scheduled_at >= %(starts_from)s)
      and (%(starts_before)s::timestamptz is null or s.scheduled_at < %(starts_before)s)
      and (%(status)s::public.session_status is null or s.status = %(status)s::public.session_status)
      and (%(type)s::text is null or s.type = %(type)s)
      and (%(after_id)s::uuid is null or (s.scheduled_at, s.id) < (%(after_time)s::timestamptz, %(after_id)s))
    order by s.scheduled_at desc, s.id desc
    limit %(limit)s
  )
)
select *
from mine
order by scheduled_at desc, id desc
limit %(limit)s

-- name: list_sessions
select *
from public.sessions
where (%(starts_from)s::timestamptz is null or scheduled_at >= %(starts_from)s)
  and (%(starts_before)s::timestamptz is null or scheduled_at < %(starts_before)s)
  and (%(status)s::public.session_status is null or status = %(status)s::public.session_status)
  and (%(type)s::text is null or type = %(type)s)
  and (%(coach_id)s::uuid is null or coach_id = %(coach_id)s)
  and (%(client_id)s::uuid is null or client_id = %(client_id)s)
  and (%(after_id)s::uuid is null or (scheduled_at, id) > (%(after_time)s::timestamptz, %(after_id)s))
order by scheduled_at, id
limit %(limit)s

-- name: list_sessions_latest_first
select *
from public.sessions
where (%(starts_from)s::timestamptz is null or scheduled_at >= %(starts_from)s)
  and (%(starts_before)s::timestamptz is null or scheduled_at < %(starts_before)s)
  and (%(status)s::public.session_status is null or status = %(status)s::public.session_status)
  and (%(type)s::text is null or type = %(type)s)
  and (%(coach_id)s::uuid is null or coach_id = %(coach_id)s)
  and (%(client_id)s::uuid is null or client_id = %(client_id)s)
  and (%(after_id)s::uuid is null or (scheduled_at, id) < (%(after_time)s::timestamptz, %(after_id)s))
order by scheduled_at desc, id desc
limit %(limit)s

-- name: update_session
update public.sessions as s
set (
  title, description, location, meeting_url, notes, price_cents, currency, capacity, timezone, roster_visible,
  buffer_before_minutes, buffer_after_minutes, no_show_grace_minutes
) = (
  select
    n.title, n.description, n.location, n.meeting_url, n.notes, n.price_cents, n.currency, n.capacity, n.timezone,
    n.roster_visible, n.buffer_before_minutes, n.buffer_after_minutes, n.no_show_grace_minutes
  from jsonb_populate_record(s, %(changes)s::jsonb) as n
)
where s.id = %(id)s
returning *

-- name: start_session
select public.start_session(%(id)s)

-- name: complete_session
select public.complete_session(%(id)s)

-- name: mark_no_show
select public.mark_no_show(%(id)s)

-- name: cancel_session
select public.cancel_session(%(id)s, %(reason)s, %(for_client)s)

-- name: reschedule_session
select public.reschedule_session(%(id)s, %(starts_at)s, %(duration_minutes)s)

-- name: list_events
select *
from public.session_events
where session_id = %(session_id)s
  and (%(after_id)s::uuid is null or (created_at, id) > (%(after_time)s::timestamptz, %(after_id)s))
order by created_at, id
limit %(limit)s

-- name: invite_attendee
select public.invite_attendee(%(session_id)s, %(user_id)s, %(email)s, %(name)s, %(price_cents)s)

-- name: invite_to_series
select public.invite_to_series(%(session_id)s, %(user_id)s, %(email)s, %(name)s, %(price_cents)s)

-- name: get_attendee
select
  a.*, coalesce(a.display_name, nullif(btrim(concat_ws(' ', u.first_name, u.last_name)), '')) as name
from public.session_attendees as a
left join public.users as u on u.id = a.user_id
where a.id = %(id)s

-- name: list_attendees
select
  a.*, coalesce(a.display_name, nullif(btrim(concat_ws(' ', u.first_name, u.last_name)), '')) as name
from public.session_attendees as a
left join public.users as u on u.id = a.user_id
where a.session_id = %(session_id)s
  and (%(after_id)s::uuid is null or (a.created_at, a.id) > (%(after_time)s::timestamptz, %(after_id)s))
order by a.created_at, a.id
limit %(limit)s

-- name: update_attendee
update public.session_attendees as a
set (display_name, notes, price_cents) = (
  select n.display_name, n.notes, n.price_cents from jsonb_populate_record(a, %(changes)s::jsonb) as n
)
where a.id = %(id)s

-- name: respond_to_invitation
select public.respond_to_invitation(%(session_id)s, %(answer)s)

-- name: record_attendance
select public.record_attendance(%(attendee_id)s, %(kind)s, %(nonce)s, %(at)s)

-- name: get_attendance
select id, attendee_id, number, kind, nonce, happened_at, actor_id, undoes, created_at
from public.attendance_events
where id = %(id)s

-- name: list_attendance
select id, attendee_id, number, kind, nonce, happened_at, actor_id, undoes, created_at
from public.attendance_events
where attendee_id = %(attendee_id)s and number > %(after_number)s
order by number
limit %(limit)s

-- name: leave_session
select public.cancel_attendance(p_session_id => %(session_id)s, p_reason => %(reason)s)

-- name: cancel_attendee
select public.cancel_attendance(
  p_attendee_id => %(id)s, p_reason => %(reason)s, p_for_client => %(for_client)s
)

-- name: session_roster
select name, role, is_me from public.session_roster(%(session_id)s)

-- name: clear_expired_holds
-- role: service_role
select private.clear_expired_holds()

-- name: derive_no_shows
-- role: service_role
select private.derive_no_shows()
