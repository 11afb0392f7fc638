-- name: offer_package
insert into public.packages (practice_id, template_id, title, sessions, price_cents, currency, valid_days, spent_at, granted_at)
select m.id, %(template_id)s, %(title)s, %(sessions)s, %(price_cents)s, %(currency)s, %(valid_days)s, %(spent_at)s, %(granted_at)s
from unnest((select private.my_practice_ids())::uuid[]) as m (id)
returning id

-- name: change_package
update public.packages as p
set title = coalesce(c.title, p.title), sessions = coalesce(c.sessions, p.sessions), price_cents = coalesce(c.price_cents, p.price_cents),
    currency = coalesce(c.currency, p.currency), spent_at = coalesce(c.spent_at, p.spent_at),
    granted_at = coalesce(c.granted_at, p.granted_at), is_active = coalesce(c.is_active, p.is_active),
    valid_days = case when %(changes)s::jsonb ? 'valid_days' then c.valid_days else p.valid_days end
from jsonb_to_record(%(changes)s::jsonb) as c (
  title text, sessions integer, price_cents integer, currency text, spent_at text, granted_at text, is_active boolean, valid_days integer)
where p.id = %(id)s
returning p.id

-- name: list_packages
select
  p.id, p.practice_id, p.template_id, p.title, p.sessions, p.price_cents, p.currency, p.valid_days, p.spent_at, p.granted_at,
  p.is_active, p.created_at, p.updated_at
from public.packages as p
where (%(practice_id)s::uuid is null or p.practice_id = %(practice_id)s)
  and (%(template_id)s::uuid is null or p.template_id = %(template_id)s)
  and (%(after_at)s::timestamptz is null or (p.created_at, p.id) < (%(after_at)s, %(after_id)s::uuid))
order by p.created_at desc, p.id desc
limit %(limit)s

-- name: get_package
select
  p.id, p.practice_id, p.template_id, p.title, p.sessions, p.price_cents, p.currency, p.valid_days, p.spent_at, p.granted_at,
  p.is_active, p.created_at, p.updated_at
from public.packages as p
where p.id = %(id)s

-- name: list_credits
select
  k.id, k.practice_id, k.coach_client_id, c.client_id, k.template_id, k.package_id, l.invoice_id, k.title, k.sessions, k.balance,
  case when k.expires_at <= now() then 0 else k.balance end as usable, k.spent_at, k.granted_on, k.expires_at, k.created_at
from public.credits as k
left join public.coach_clients as c on c.id = k.coach_client_id
left join public.invoice_line_items as l on l.id = k.invoice_line_id
where (%(coach_client_id)s::uuid is null or k.coach_client_id = %(coach_client_id)s)
  and (%(template_id)s::uuid is null or k.template_id = %(template_id)s)
  and (%(after_at)s::timestamptz is null or (k.created_at, k.id) < (%(after_at)s, %(after_id)s::uuid))
order by k.created_at desc, k.id desc
limit %(limit)s

-- name: get_credits
select
  k.id, k.practice_id, k.coach_client_id, c.client_id, k.template_id, k.package_id, l.invoice_id, k.title, k.sessions, k.balance,
  case when k.expires_at <= now() then 0 else k.balance end as usable, k.spent_at, k.granted_on, k.expires_at, k.created_at,
  coalesce((
    select jsonb_agg(jsonb_build_object(
      'id', e.id, 'change', e.change, 'reason', e.reason, 'attendee_id', e.attendee_id, 'note', e.note, 'made_by', e.made_by,
      'created_at', e.created_at) order by e.created_at, e.id)
    from public.credit_entries as e where e.credit_id = k.id), '[]') as entries
from public.credits as k
left join public.coach_clients as c on c.id = k.coach_client_id
left join public.invoice_line_items as l on l.id = k.invoice_line_id
where k.id = %(id)s

-- name: give_credits
select public.give_credits(
  %(coach_client_id)s, %(template_id)s, %(sessions)s, %(reason)s, p_expires_at => %(expires_at)s, p_spent_at => %(spent_at)s)

-- name: move_credits
select public.move_credits(%(id)s, %(change)s, %(reason)s)

-- name: extend_credits
select public.extend_credits(%(id)s, %(expires_at)s)

-- name: sell_package
select public.sell_package(%(id)s, %(package_id)s)

-- name: spend_credit
select public.spend_credit(%(id)s)

-- name: expire_credits
-- role: service_role
select private.expire_credits()
