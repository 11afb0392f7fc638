-- What must be true of the data whoever wrote it. Each query gives: id, found (what is wrong with it), at most a hundred rows.

-- name: sessions_without_their_seats
select s.id::text as id, 'its coach or its client has no seat' as found
from public.sessions as s
where not exists (select from public.session_attendees as a where a.session_id = s.id and a.user_id = s.coach_id and a.role = 'coach')
  or (s.client_id is not null
    and not exists (select from public.session_attendees as a where a.session_id = s.id and a.user_id = s.client_id))
limit 100

-- name: sessions_that_end_at_another_time
select s.id::text as id, format('ends at %%s, lasts %%s minutes from %%s', s.ends_at, s.duration_minutes, s.scheduled_at) as found
from public.sessions as s
where s.ends_at <> s.scheduled_at + make_interval(mins => s.duration_minutes)
limit 100

-- name: sessions_ahead_that_block_no_time
select s.id::text as id, 'it lies ahead and does not block its coach' as found
from public.sessions as s
where s.status in ('scheduled', 'in_progress') and s.scheduled_at > now()
  and not exists (select from public.coach_blocks as b where b.session_id = s.id)
limit 100

-- name: sessions_ahead_that_overlap
select a.id::text as id, format('overlaps %%s of the same coach', b.id) as found
from public.sessions as a
join public.sessions as b
  on b.coach_id = a.coach_id and b.id > a.id and b.scheduled_at < a.ends_at and a.scheduled_at < b.ends_at
where a.status in ('scheduled', 'in_progress') and b.status in ('scheduled', 'in_progress') and a.ends_at > now() and b.ends_at > now()
limit 100

-- name: sessions_billed_otherwise_than_their_seats
select s.id::text as id, format('says %%s, its seats say %%s', s.billing_status, private.session_billing(s.id)) as found
from public.sessions as s
where s.billing_status <> private.session_billing(s.id)
limit 100

-- name: sessions_over_capacity
select s.id::text as id, format('%%s seats of %%s', count(*), s.capacity) as found
from public.sessions as s
join public.session_attendees as a on a.session_id = s.id and private.takes_a_place(a.role, a.status, a.cancelled_at)
where s.capacity is not null
group by s.id
having count(*) > s.capacity
limit 100

-- name: payments_refunded_otherwise_than_their_refunds
select p.id::text as id, format('says %%s refunded, its refunds say %%s', p.refunded_cents, sum(r.amount_cents)) as found
from public.payments as p
join public.payment_refunds as r on r.payment_id = p.id and r.status = 'succeeded'
group by p.id
having p.refunded_cents <> sum(r.amount_cents)
limit 100

-- name: payments_allocated_otherwise_than_their_allocations
select p.id::text as id, format('says %%s allocated, its allocations say %%s', p.allocated_cents, coalesce(sum(a.amount_cents), 0)) as found
from public.payments as p
left join public.payment_allocations as a on a.payment_id = p.id
group by p.id
having p.allocated_cents <> coalesce(sum(a.amount_cents), 0)
limit 100

-- name: conversations_with_gaps
select c.id::text as id, format('%%s messages, numbered up to %%s, last_seq is %%s', m.count, m.max, c.last_seq) as found
from public.conversations as c
left join lateral (
  select count(*) as count, coalesce(max(m.seq), 0) as max from public.messages as m where m.conversation_id = c.id
) as m on true
where m.count <> m.max or m.max <> c.last_seq
limit 100

-- name: deliveries_that_do_not_add_up
select s.id::text as id, format('says %%s while deliveries are open', s.status) as found
from public.message_delivery_states as s
where s.status <> 'pending' and exists (
  select from public.message_deliveries as d
  where d.message_id = s.message_id and d.channel = s.channel and d.state in ('pending', 'leased'))
limit 100
