-- name: anybody_here
-- role: service_role
select exists (select from public.users)

-- name: relate
-- role: service_role
select private.relate(%(coach_id)s, %(client_id)s, 'manual')

-- name: set_practice
update public.practices
set name = %(name)s, legal_name = %(name)s, currency = %(currency)s, timezone = %(timezone)s, tax_rate_bp = %(tax_rate_bp)s,
  country = %(country)s, tax_scheme = %(tax_scheme)s
returning id

-- name: set_hours
select count(*) from public.set_availability(%(timezone)s, %(ranges)s::text::jsonb)

-- name: set_terms
insert into public.cancellation_policies (coach_id, tiers, free_moves)
values ((select private.me()), %(tiers)s::text::jsonb, %(free_moves)s)
returning id

-- name: set_rules
insert into public.booking_rules (coach_id, min_notice_minutes, max_per_day)
values ((select private.me()), %(min_notice_minutes)s, %(max_per_day)s)
returning coach_id

-- name: keep_holidays
select public.set_holidays(%(country)s, null, %(covers_until)s, %(days)s::text::jsonb)

-- name: add_series
select public.create_series(
  %(template_id)s, %(local_starts)s::timestamp[], %(timezone)s, 'FREQ=WEEKLY;COUNT=4', %(client_id)s
)

-- name: add_template
insert into public.session_templates (
  coach_id, title, description, default_duration_minutes, default_price_cents, currency, session_type, default_capacity,
  buffer_after_minutes, roster_visible, location
)
values (
  %(coach_id)s, %(title)s, %(description)s, %(minutes)s, %(price_cents)s, %(currency)s, %(session_type)s, %(capacity)s,
  %(buffer_after_minutes)s, %(roster_visible)s, %(location)s
)
returning id

-- name: add_past_session
-- role: service_role
insert into public.sessions (
  coach_id, client_id, template_id, title, scheduled_at, duration_minutes, status, price_cents, currency, timezone, location
)
values (
  %(coach_id)s, %(client_id)s, %(template_id)s, %(title)s, %(scheduled_at)s, %(minutes)s, %(status)s, %(price_cents)s,
  %(currency)s, %(timezone)s, %(location)s
)
returning id

-- name: booked_earlier
-- role: service_role
with seats as (update public.session_attendees set created_at = %(booked_at)s where session_id = %(session_id)s)
update public.sessions set created_at = %(booked_at)s where id = %(session_id)s
returning id

-- name: free_slot
select s.starts_at
from public.free_slots(%(coach_id)s, %(template_id)s, %(earliest)s, %(earliest)s::timestamptz + interval '14 days') as s
order by s.starts_at
limit 1

-- name: book
select public.book_session(%(template_id)s, %(starts_at)s, null, %(timezone)s)

-- name: create_group
select public.create_group_session(%(template_id)s, %(starts_at)s, %(capacity)s)

-- name: invite
select public.invite_attendee(%(session_id)s, p_user_id => %(user_id)s, p_email => %(email)s, p_display_name => %(name)s)

-- name: answer
select public.respond_to_invitation(%(session_id)s, %(answer)s)

-- name: draft_invoice
select public.draft_invoice(p_client_id => %(client_id)s, p_lines => %(lines)s::text::jsonb)

-- name: finalize_invoice
select public.finalize_invoice(%(invoice_id)s)

-- name: record_payment
select public.record_manual_payment(%(invoice_id)s, %(amount_cents)s, %(method)s, %(reference)s)

-- name: set_letterhead
insert into public.practice_letterheads (practice_id, transfer_details)
select p.id, %(details)s from public.practices as p
returning practice_id

-- name: offer_package
insert into public.packages (practice_id, template_id, title, sessions, price_cents, currency)
select p.id, %(template_id)s, %(title)s, 10, %(price_cents)s, p.currency from public.practices as p
returning id

-- name: give_credits
select public.give_credits(c.id, %(template_id)s, 4, %(reason)s)
from public.coach_clients as c
where c.client_id = %(client_id)s and c.coach_id = private.me()

-- name: start_direct
select (public.start_direct_conversation(%(user_id)s)).id

-- name: open_session_conversation
select c.id from public.open_session_conversation(%(session_id)s) as c limit 1

-- name: post_message
select (public.post_message(%(conversation_id)s, %(content)s, p_mentions => %(mentions)s)).seq

-- name: mark_read
select public.mark_read(%(conversation_id)s, %(seq)s)

-- name: add_note
insert into public.coach_notes (coach_id, client_id, session_id, title, content, privacy_level, tags)
values (%(coach_id)s, %(client_id)s, %(session_id)s, %(title)s, %(content)s, %(privacy_level)s, %(tags)s)
returning id

-- name: add_reflection
insert into public.reflections (client_id, session_id, content, mood_rating, goals_for_next_session)
values (%(client_id)s, %(session_id)s, %(content)s, %(mood)s, %(goals)s)
returning id
