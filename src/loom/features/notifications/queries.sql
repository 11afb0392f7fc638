-- name: list_notifications
-- One row, whether or not the page has items, so that the count of unread ones comes in the same round trip.
with due as (
  select n.*
  from public.notifications as n
  where n.user_id = (select private.me())
    and coalesce(n.channel, 'inapp') = 'inapp'
    and (n.scheduled_for is null or n.scheduled_for <= now())
    and (n.expires_at is null or n.expires_at > now())
),
page as (
  select
    d.id, d.type, d.title, d.message, d.data, coalesce(d.priority, 'normal') as priority, d.action_url, d.action_label,
    d.read_at, d.expires_at, d.created_at
  from due as d
  where (not %(unread)s or d.read_at is null)
    and (%(after_at)s::timestamptz is null or (d.created_at, d.id) < (%(after_at)s, %(after_id)s::uuid))
  order by d.created_at desc, d.id desc
  limit %(limit)s
)
select
  (select count(*) from due where due.read_at is null) as unread_count,
  coalesce((select jsonb_agg(page order by page.created_at desc, page.id desc) from page), '[]') as items

-- name: get_notification
select
  n.id, n.type, n.title, n.message, n.data, coalesce(n.priority, 'normal') as priority, n.action_url, n.action_label,
  n.read_at, n.expires_at, n.created_at
from public.notifications as n
where n.id = %(id)s and n.user_id = (select private.me())

-- name: read_notification
update public.notifications as n
set read_at = coalesce(n.read_at, now())
where n.id = %(id)s
returning
  n.id, n.type, n.title, n.message, n.data, coalesce(n.priority, 'normal') as priority, n.action_url, n.action_label,
  n.read_at, n.expires_at, n.created_at

-- name: read_all_notifications
update public.notifications as n
set read_at = now()
where n.user_id = (select private.me())
  and n.read_at is null
  and coalesce(n.channel, 'inapp') = 'inapp'
  and (n.scheduled_for is null or n.scheduled_for <= now())

-- name: delete_notification
delete from public.notifications where id = %(id)s

-- name: get_preferences
select
  p.email_enabled, p.email_session_reminders, p.email_session_updates, p.email_messages, p.email_system_updates,
  p.email_marketing, p.inapp_enabled, p.inapp_session_reminders, p.inapp_session_updates, p.inapp_messages,
  p.inapp_system_updates, p.push_enabled, p.push_session_reminders, p.push_messages, p.quiet_hours_enabled,
  to_char(p.quiet_hours_start, 'HH24:MI') as quiet_hours_start, to_char(p.quiet_hours_end, 'HH24:MI') as quiet_hours_end,
  coalesce(p.timezone, 'UTC') as timezone, coalesce(p.digest_frequency, 'daily') as digest_frequency, p.updated_at
from public.notification_preferences as p
where p.user_id = (select private.me())

-- name: change_preferences
-- What is absent from the patch arrives as null and keeps its value; none of these can be set to null.
update public.notification_preferences as p
set
  email_enabled = coalesce(given.email_enabled, p.email_enabled),
  email_session_reminders = coalesce(given.email_session_reminders, p.email_session_reminders),
  email_session_updates = coalesce(given.email_session_updates, p.email_session_updates),
  email_messages = coalesce(given.email_messages, p.email_messages),
  email_system_updates = coalesce(given.email_system_updates, p.email_system_updates),
  email_marketing = coalesce(given.email_marketing, p.email_marketing),
  inapp_enabled = coalesce(given.inapp_enabled, p.inapp_enabled),
  inapp_session_reminders = coalesce(given.inapp_session_reminders, p.inapp_session_reminders),
  inapp_session_updates = coalesce(given.inapp_session_updates, p.inapp_session_updates),
  inapp_messages = coalesce(given.inapp_messages, p.inapp_messages),
  inapp_system_updates = coalesce(given.inapp_system_updates, p.inapp_system_updates),
  push_enabled = coalesce(given.push_enabled, p.push_enabled),
  push_session_reminders = coalesce(given.push_session_reminders, p.push_session_reminders),
  push_messages = coalesce(given.push_messages, p.push_messages),
  quiet_hours_enabled = coalesce(given.quiet_hours_enabled, p.quiet_hours_enabled),
  quiet_hours_start = coalesce(given.quiet_hours_start, p.quiet_hours_start),
  quiet_hours_end = coalesce(given.quiet_hours_end, p.quiet_hours_end),
  timezone = coalesce(given.timezone, p.timezone),
  digest_frequency = coalesce(given.digest_frequency, p.digest_frequency)
from jsonb_to_record(%(patch)s::jsonb) as given (
  email_enabled boolean,
  email_session_reminders boolean,
  email_session_updates boolean,
  email_messages boolean,
  email_system_updates boolean,
  email_marketing boolean,
  inapp_enabled boolean,
  inapp_session_reminders boolean,
  inapp_session_updates boolean,
  inapp_messages boolean,
  inapp_system_updates boolean,
  push_enabled boolean,
  push_session_reminders boolean,
  push_messages boolean,
  quiet_hours_enabled boolean,
  quiet_hours_start time,
  quiet_hours_end time,
  timezone text,
  digest_frequency text
)
where p.user_id = (select private.me())
returning
  p.email_enabled, p.email_session_reminders, p.email_session_updates, p.email_messages, p.email_system_updates,
  p.email_marketing, p.inapp_enabled, p.inapp_session_reminders, p.inapp_session_updates, p.inapp_messages,
  p.inapp_system_updates, p.push_enabled, p.push_session_reminders, p.push_messages, p.quiet_hours_enabled,
  to_char(p.quiet_hours_start, 'HH24:MI') as quiet_hours_start, to_char(p.quiet_hours_end, 'HH24:MI') as quiet_hours_end,
  coalesce(p.timezone, 'UTC') as timezone, coalesce(p.digest_frequency, 'daily') as digest_frequency, p.updated_at

-- name: get_choices
select
  c.push_session_updates, c.push_system_updates, c.email_payments, c.inapp_payments, c.push_payments, c.hide_content
from public.notification_choices as c
where c.user_id = (select private.me())

-- name: change_choices
insert into public.notification_choices as c (
  user_id, push_session_updates, push_system_updates, email_payments, inapp_payments, push_payments, hide_content
)
select
  (select private.me()), coalesce(g.push_session_updates, false), coalesce(g.push_system_updates, false),
  coalesce(g.email_payments, true), coalesce(g.inapp_payments, true), coalesce(g.push_payments, false),
  coalesce(g.hide_content, false)
from jsonb_to_record(%(patch)s::jsonb) as g (
  push_session_updates boolean, push_system_updates boolean, email_payments boolean, inapp_payments boolean,
  push_payments boolean, hide_content boolean
)
on conflict (user_id) do update
set
  push_session_updates = coalesce((%(patch)s::jsonb ->> 'push_session_updates')::boolean, c.push_session_updates),
  push_system_updates = coalesce((%(patch)s::jsonb ->> 'push_system_updates')::boolean, c.push_system_updates),
  email_payments = coalesce((%(patch)s::jsonb ->> 'email_payments')::boolean, c.email_payments),
  inapp_payments = coalesce((%(patch)s::jsonb ->> 'inapp_payments')::boolean, c.inapp_payments),
  push_payments = coalesce((%(patch)s::jsonb ->> 'push_payments')::boolean, c.push_payments),
  hide_content = coalesce((%(patch)s::jsonb ->> 'hide_content')::boolean, c.hide_content)
returning
  c.push_session_updates, c.push_system_updates, c.email_payments, c.inapp_payments, c.push_payments, c.hide_content

-- name: remind_of_sessions
-- role: service_role
select private.remind_of_sessions()

-- name: unsubscribe
-- role: anon
select public.unsubscribe_by_link(%(token)s)

-- name: lease_notices
-- role: service_role
update public.notification_deliveries as d
set
  state = 'leased', attempts = d.attempts + 1,
  lease_until = now() + make_interval(secs => %(lease_seconds)s),
  next_attempt_at = now() + make_interval(secs => %(lease_seconds)s)
from (
  select due.id
  from public.notification_deliveries as due
  where due.state in ('pending', 'leased') and due.next_attempt_at <= now()
  order by due.next_attempt_at
  limit %(batch)s
  for update skip locked
) as taken
where d.id = taken.id
returning d.id, d.attempts as attempt

-- name: load_notice
-- role: service_role
select
  d.id, d.user_id as recipient_id, d.channel::text as channel, d.attempts as attempt, n.title, n.message, n.action_url,
  n.id as notification_id, u.email, nullif(btrim(concat_ws(' ', u.first_name, u.last_name)), '') as name, u.language,
  private.notice_refusal(d.id) as refusal,
  extract(epoch from private.notice_quiet_until(d.user_id, n.expires_at) - now())::float8 as quiet_seconds,
  coalesce(c.hide_content, false) as hide_content, private.unsubscribe_token(d.user_id, d.topic) as unsubscribe_token,
  private.mail_key(d.id) as mail_key
from public.notification_deliveries as d
join public.notifications as n on n.id = d.notification_id
join public.users as u on u.id = d.user_id
left join public.notification_choices as c on c.user_id = d.user_id
where d.id = %(id)s and d.state = 'leased' and d.attempts = %(attempt)s
  and d.lease_until > now() + make_interval(secs => %(margin_seconds)s)

-- name: finish_notice
-- role: service_role
update public.notification_deliveries
set
  state = %(state)s, reason = %(reason)s, error_message = left(%(error_message)s, 500), provider_id = %(provider_id)s,
  lease_until = null,
  sent_at = case when %(state)s = 'sent' then now() end,
  next_attempt_at = case when %(state)s = 'pending' then now() + make_interval(secs => %(delay_seconds)s) end
where id = %(id)s and state = 'leased' and attempts = %(attempt)s
