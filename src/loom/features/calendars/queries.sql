-- name: create_feed
select id, token from public.create_calendar_feed(%(name)s)

-- name: list_feeds
select id, name, created_at, last_read_at, revoked_at
from public.calendar_feeds
where %(after_at)s::timestamptz is null or (created_at, id) < (%(after_at)s, %(after_id)s::uuid)
order by created_at desc, id desc
limit %(limit)s

-- name: revoke_feed
select public.revoke_calendar_feed(%(id)s)

-- name: feed_state
select content_hash, changed_at, name, language, timezone from public.calendar_feed_state(%(token)s)

-- name: feed_entries
select
  uid, starts_at, ends_at, changed_at, title, with_name, is_coach, seats_taken, capacity, location, meeting_url, description,
  state
from public.calendar_feed_entries(%(token)s)

-- name: link_by_token
select * from jsonb_to_record(public.link_by_token(%(token)s)::jsonb) as link (
  action text, used boolean, open boolean, title text, description text, starts_at timestamptz, ends_at timestamptz,
  timezone text, location text, session_status text, status text, is_cancelled boolean, name text, coach_name text,
  language text, quote jsonb
)

-- name: act_by_link
select * from jsonb_to_record(public.act_by_link(%(token)s, %(starts_at)s, %(reason)s)::jsonb) as link (
  action text, used boolean, open boolean, title text, description text, starts_at timestamptz, ends_at timestamptz,
  timezone text, location text, session_status text, status text, is_cancelled boolean, name text, coach_name text,
  language text, quote jsonb
)

-- name: slots_by_link
select starts_at, ends_at from public.slots_by_link(%(token)s, %(starts_from)s, %(starts_before)s) order by starts_at

-- name: prepare_letter
-- role: service_role
select attendee_id, email, method, sequence, prepared_at, previous_status, content, links
from private.prepare_calendar_letter(%(attendee_id)s)

-- name: letter_sent
-- role: service_role
select private.calendar_letter_sent(%(attendee_id)s, %(sequence)s, %(refused)s)

-- name: forget_expired_links
-- role: service_role
select private.forget_expired_links()
