-- name: list_clients
select
  c.id, c.coach_id, c.client_id,
  coalesce(c.display_name, nullif(btrim(concat_ws(' ', u.first_name, u.last_name)), '')) as display_name,
  coalesce(c.email, u.email) as email, coalesce(c.phone, u.phone) as phone,
  c.status, c.source, c.invited_at, c.accepted_at, c.ended_at, c.created_at, c.updated_at
from public.coach_clients as c
left join public.users as u on u.id = c.client_id
where c.coach_id = (select private.me())
  and (%(status)s::text is null or c.status = %(status)s)
  and (
    %(search)s::text is null
    or strpos(
      lower(concat_ws(' ', c.display_name, u.first_name, u.last_name, coalesce(c.email, u.email))), lower(%(search)s)
    ) > 0
  )
  and (%(after_at)s::timestamptz is null or (c.created_at, c.id) < (%(after_at)s, %(after_id)s::uuid))
order by c.created_at desc, c.id desc
limit %(limit)s

-- name: get_client
select
  c.id, c.coach_id, c.client_id,
  coalesce(c.display_name, nullif(btrim(concat_ws(' ', u.first_name, u.last_name)), '')) as display_name,
  coalesce(c.email, u.email) as email, coalesce(c.phone, u.phone) as phone,
  c.status, c.source, c.invited_at, c.accepted_at, c.ended_at, c.created_at, c.updated_at
from public.coach_clients as c
left join public.users as u on u.id = c.client_id
where c.id = %(id)s

-- name: add_client
insert into public.coach_clients (coach_id, display_name, email, phone)
values ((select private.me()), %(display_name)s, %(email)s, %(phone)s)
returning id

-- name: change_client
update public.coach_clients as c
set
  display_name = case when given.patch ? 'display_name' then given.patch ->> 'display_name' else c.display_name end,
  email = case when given.patch ? 'email' then given.patch ->> 'email' else c.email end,
  phone = case when given.patch ? 'phone' then given.patch ->> 'phone' else c.phone end
from (select %(patch)s::jsonb as patch) as given
where c.id = %(id)s
returning c.id

-- name: end_client
-- The account's name is kept, since its profile can't be read any more afterwards.
update public.coach_clients as c
set
  status = 'ended',
  display_name = coalesce(
    c.display_name,
    (select nullif(btrim(concat_ws(' ', u.first_name, u.last_name)), '') from public.users as u where u.id = c.client_id)
  )
where c.id = %(id)s
returning c.id

-- name: invite_client
select public.invite_client(%(id)s)

-- name: resume_client
update public.coach_clients as c set status = 'active' where c.id = %(id)s returning c.id

-- name: leave_coach
select public.leave_coach(%(id)s)

-- name: list_coaches
select
  c.id, c.coach_id, coalesce(nullif(btrim(concat_ws(' ', u.first_name, u.last_name)), ''), u.email) as name, u.email,
  u.avatar_url, c.accepted_at, c.created_at
from public.coach_clients as c
join public.users as u on u.id = c.coach_id
where c.client_id = (select private.me())
  and c.status = 'active'
  and (%(after_at)s::timestamptz is null or (c.created_at, c.id) < (%(after_at)s, %(after_id)s::uuid))
order by c.created_at desc, c.id desc
limit %(limit)s

-- name: list_coach_invitations
select i.id, i.coach_id, i.coach_name, i.practice_name, i.invited_at
from public.my_coach_invitations() as i
where %(after_at)s::timestamptz is null or (i.invited_at, i.id) < (%(after_at)s, %(after_id)s::uuid)
order by i.invited_at desc, i.id desc
limit %(limit)s

-- name: answer_coach_invitation
select public.answer_coach_invitation(%(id)s, %(answer)s)

-- name: get_own_availability
select
  a.id, a.day_of_week, to_char(a.start_time, 'HH24:MI') as start_time,
  to_char(coalesce(a.continues_until, a.end_time), 'HH24:MI') as end_time, a.timezone
from public.coach_availability as a
where a.coach_id = (select private.me()) and a.is_available
order by a.day_of_week, a.start_time, a.id

-- name: set_availability
select
  a.id, a.day_of_week, to_char(a.start_time, 'HH24:MI') as start_time,
  to_char(coalesce(a.continues_until, a.end_time), 'HH24:MI') as end_time, a.timezone
from public.set_availability(%(timezone)s, %(ranges)s::jsonb) as a
order by a.day_of_week, a.start_time, a.id

-- name: get_coach_availability
select
  a.day_of_week, to_char(a.start_time, 'HH24:MI') as start_time, to_char(a.end_time, 'HH24:MI') as end_time, a.timezone
from public.coach_hours(%(coach_id)s) as a
order by a.day_of_week, a.start_time

-- name: list_notes
select
  n.id, n.coach_id, n.client_id, n.session_id, n.title, n.content, n.privacy_level, coalesce(n.tags, '{}') as tags,
  n.created_at, n.updated_at
from public.coach_notes as n
where (%(client_id)s::uuid is null or n.client_id = %(client_id)s)
  and (%(session_id)s::uuid is null or n.session_id = %(session_id)s)
  and (%(after_at)s::timestamptz is null or (n.created_at, n.id) < (%(after_at)s, %(after_id)s::uuid))
order by n.created_at desc, n.id desc
limit %(limit)s

-- name: get_note
select
  n.id, n.coach_id, n.client_id, n.session_id, n.title, n.content, n.privacy_level, coalesce(n.tags, '{}') as tags,
  n.created_at, n.updated_at
from public.coach_notes as n
where n.id = %(id)s

-- name: write_note
insert into public.coach_notes (coach_id, client_id, session_id, title, content, privacy_level, tags)
values (
  (select private.me()), %(client_id)s, %(session_id)s, %(title)s, %(content)s, %(privacy_level)s::public.privacy_level,
  %(tags)s
)
returning
  id, coach_id, client_id, session_id, title, content, privacy_level, coalesce(tags, '{}') as tags, created_at, updated_at

-- name: change_note
update public.coach_notes as n
set
  session_id = case when given.patch ? 'session_id' then (given.patch ->> 'session_id')::uuid else n.session_id end,
  title = case when given.patch ? 'title' then given.patch ->> 'title' else n.title end,
  content = case when given.patch ? 'content' then given.patch ->> 'content' else n.content end,
  privacy_level = case
    when given.patch ? 'privacy_level' then (given.patch ->> 'privacy_level')::public.privacy_level else n.privacy_level
  end,
  tags = case
    when given.patch ? 'tags' then array(select jsonb_array_elements_text(given.patch -> 'tags')) else n.tags
  end
from (select %(patch)s::jsonb as patch) as given
where n.id = %(id)s
returning
  n.id, n.coach_id, n.client_id, n.session_id, n.title, n.content, n.privacy_level, coalesce(n.tags, '{}') as tags,
  n.created_at, n.updated_at

-- name: delete_note
delete from public.coach_notes where id = %(id)s

-- name: list_reflections
select
  r.id, r.client_id, r.session_id, r.content, r.mood_rating, r.insights, r.goals_for_next_session, r.created_at,
  r.updated_at
from public.reflections as r
where (%(client_id)s::uuid is null or r.client_id = %(client_id)s)
  and (%(session_id)s::uuid is null or r.session_id = %(session_id)s)
  and (%(after_at)s::timestamptz is null or (r.created_at, r.id) < (%(after_at)s, %(after_id)s::uuid))
order by r.created_at desc, r.id desc
limit %(limit)s

-- name: get_reflection
select
  r.id, r.client_id, r.session_id, r.content, r.mood_rating, r.insights, r.goals_for_next_session, r.created_at,
  r.updated_at
from public.reflections as r
where r.id = %(id)s

-- name: write_reflection
insert into public.reflections (client_id, session_id, content, mood_rating, insights, goals_for_next_session)
values (
  (select private.me()), %(session_id)s, %(content)s, %(mood_rating)s, %(insights)s, %(goals_for_next_session)s
)
returning id, client_id, session_id, content, mood_rating, insights, goals_for_next_session, created_at, updated_at

-- name: change_reflection
update public.reflections as r
set
  session_id = case when given.patch ? 'session_id' then (given.patch ->> 'session_id')::uuid else r.session_id end,
  content = case when given.patch ? 'content' then given.patch ->> 'content' else r.content end,
  mood_rating = case when given.patch ? 'mood_rating' then (given.patch ->> 'mood_rating')::integer else r.mood_rating end,
  insights = case when given.patch ? 'insights' then given.patch ->> 'insights' else r.insights end,
  goals_for_next_session = case
    when given.patch ? 'goals_for_next_session' then given.patch ->> 'goals_for_next_session'
    else r.goals_for_next_session
  end
from (select %(patch)s::jsonb as patch) as given
where r.id = %(id)s
returning
  r.id, r.client_id, r.session_id, r.content, r.mood_rating, r.insights, r.goals_for_next_session, r.created_at,
  r.updated_at

-- name: delete_reflection
delete from public.reflections where id = %(id)s

-- name: get_practice
select
  p.id, p.name, p.legal_name, p.tax_id, p.email, p.phone, p.address, p.country, p.timezone, p.language, p.currency,
  p.tax_rate_bp, p.invoice_due_days, p.tax_scheme, p.prices_include_tax, p.documents_elsewhere, p.auto_charge,
  p.created_at, p.updated_at
from public.practices as p
where p.id = any ((select private.my_practice_ids())::uuid[])

-- name: change_practice
update public.practices as p
set
  name = case when given.patch ? 'name' then given.patch ->> 'name' else p.name end,
  legal_name = case when given.patch ? 'legal_name' then given.patch ->> 'legal_name' else p.legal_name end,
  tax_id = case when given.patch ? 'tax_id' then given.patch ->> 'tax_id' else p.tax_id end,
  email = case when given.patch ? 'email' then given.patch ->> 'email' else p.email end,
  phone = case when given.patch ? 'phone' then given.patch ->> 'phone' else p.phone end,
  address = case when given.patch ? 'address' then given.patch ->> 'address' else p.address end,
  country = case when given.patch ? 'country' then given.patch ->> 'country' else p.country end,
  timezone = case when given.patch ? 'timezone' then given.patch ->> 'timezone' else p.timezone end,
  language = case
    when given.patch ? 'language' then (given.patch ->> 'language')::public.language else p.language
  end,
  currency = case when given.patch ? 'currency' then given.patch ->> 'currency' else p.currency end,
  tax_rate_bp = case when given.patch ? 'tax_rate_bp' then (given.patch ->> 'tax_rate_bp')::integer else p.tax_rate_bp end,
  invoice_due_days = case
    when given.patch ? 'invoice_due_days' then (given.patch ->> 'invoice_due_days')::integer else p.invoice_due_days
  end,
  tax_scheme = case when given.patch ? 'tax_scheme' then given.patch ->> 'tax_scheme' else p.tax_scheme end,
  prices_include_tax = case
    when given.patch ? 'prices_include_tax' then (given.patch ->> 'prices_include_tax')::boolean else p.prices_include_tax
  end,
  documents_elsewhere = case
    when given.patch ? 'documents_elsewhere' then (given.patch ->> 'documents_elsewhere')::boolean else p.documents_elsewhere
  end,
  auto_charge = case when given.patch ? 'auto_charge' then given.patch ->> 'auto_charge' else p.auto_charge end
from (select %(patch)s::jsonb as patch) as given
where p.id = any ((select private.my_practice_ids())::uuid[])
returning
  p.id, p.name, p.legal_name, p.tax_id, p.email, p.phone, p.address, p.country, p.timezone, p.language, p.currency,
  p.tax_rate_bp, p.invoice_due_days, p.tax_scheme, p.prices_include_tax, p.documents_elsewhere, p.auto_charge,
  p.created_at, p.updated_at

-- name: get_invitation
-- role: service_role
select
  c.id, c.email, c.display_name, c.status, c.invited_at, p.name as practice_name, p.language,
  coalesce(nullif(btrim(concat_ws(' ', u.first_name, u.last_name)), ''), p.name) as coach_name
from public.coach_clients as c
join public.users as u on u.id = c.coach_id
join public.practice_members as m on m.user_id = c.coach_id
join public.practices as p on p.id = m.practice_id
where c.id = %(id)s
