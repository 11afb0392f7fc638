-- name: set_policy
insert into public.cancellation_policies (coach_id, template_id, tiers, currency, free_moves, late_moves)
values ((select private.me()), %(template_id)s, %(tiers)s::jsonb, %(currency)s, %(free_moves)s, %(late_moves)s)
on conflict on constraint cancellation_policies_one_each
do update set tiers = excluded.tiers, currency = excluded.currency, free_moves = excluded.free_moves,
  late_moves = excluded.late_moves
returning tiers, currency, free_moves, late_moves

-- name: get_own_policy
select p.tiers, p.currency, p.free_moves, p.late_moves
from public.cancellation_policies as p
where p.coach_id = (select private.me()) and p.template_id is null

-- name: delete_policy
delete from public.cancellation_policies as p
where p.coach_id = (select private.me()) and p.template_id is not distinct from %(template_id)s::uuid

-- name: cancellation_terms
select t.tiers, t.currency, t.free_moves, t.late_moves
from jsonb_to_record(public.cancellation_terms(%(template_id)s)) as t (
  tiers jsonb, currency text, free_moves integer, late_moves text
)

-- name: cancellation_quote
select q.*
from jsonb_to_record(public.cancellation_quote(%(session_id)s, %(attendee_id)s)) as q (
  attendee_id uuid, starts_at timestamptz, as_of timestamptz, price_cents integer, amount_cents integer, currency text,
  forfeits boolean, steps jsonb, moves_made integer, free_moves integer, may_move boolean
)

-- name: list_outcomes
-- The coach's whole list along its own index; who holds a seat asks for one session.
select *
from public.seat_outcomes as o
where (%(session_id)s::uuid is null or o.session_id = %(session_id)s)
  and (%(session_id)s::uuid is not null or o.coach_id = (select private.me()))
  and (%(owed)s::boolean is null or (coalesce(o.owed_cents, 1) > 0) = %(owed)s)
  and (%(after_id)s::uuid is null or (o.created_at, o.id) > (%(after_time)s::timestamptz, %(after_id)s))
order by o.created_at, o.id
limit %(limit)s

-- name: get_outcome
select * from public.seat_outcomes where id = %(id)s

-- name: waive_outcome
select public.waive_outcome(%(id)s, %(reason)s)

-- name: hold_slot
select public.hold_slot(%(template_id)s, %(starts_at)s, %(timezone)s)

-- name: request_slot
select public.request_slot(%(template_id)s, %(starts_at)s, %(timezone)s, %(message)s)

-- name: get_request
select * from public.booking_requests where id = %(id)s

-- name: list_requests
select *
from public.booking_requests as r
where (r.coach_id = (select private.me()) or r.client_id = (select private.me()))
  and (%(kind)s::text is null or r.kind = %(kind)s)
  and (%(status)s::text is null or r.status = %(status)s)
  and (%(after_id)s::uuid is null or (r.created_at, r.id) > (%(after_time)s::timestamptz, %(after_id)s))
order by r.created_at, r.id
limit %(limit)s

-- name: accept_request
select public.accept_request(%(id)s)

-- name: close_request
select public.close_request(%(id)s, %(reason)s)

-- name: plan_series
select
  ordinal, to_char(local_start, 'YYYY-MM-DD"T"HH24:MI') as local_start, starts_at, problem, taken_by
from public.plan_series(%(template_id)s, %(local_starts)s::timestamp[], %(timezone)s, %(missing)s)
order by ordinal

-- name: create_series
select public.create_series(
  %(template_id)s, %(local_starts)s::timestamp[], %(timezone)s, %(rule)s, %(client_id)s, %(missing)s, %(only)s::integer[],
  %(capacity)s
)

-- name: get_series
select * from public.session_series where id = %(id)s

-- name: list_series
select *
from public.session_series as x
where (x.coach_id = (select private.me()) or x.client_id = (select private.me()))
  and (%(after_id)s::uuid is null or (x.created_at, x.id) > (%(after_time)s::timestamptz, %(after_id)s))
order by x.created_at, x.id
limit %(limit)s

-- name: list_series_sessions
select
  m.ordinal, m.session_id, to_char(m.local_start, 'YYYY-MM-DD"T"HH24:MI') as local_start, s.scheduled_at as starts_at, s.status::text as status
from public.series_sessions as m
join public.sessions as s on s.id = m.session_id
where m.series_id = %(series_id)s
order by m.ordinal

-- name: move_series
select public.move_series(%(session_id)s, %(starts_at)s, %(missing)s)

-- name: cancel_series
select public.cancel_series(%(session_id)s, %(reason)s, %(for_client)s)
