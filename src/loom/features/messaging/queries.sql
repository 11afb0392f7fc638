-- name: send_messages_together
-- role: service_role
select private.send_messages_together(%(calls)s::jsonb)

-- name: start_direct
select id from public.start_direct_conversation(%(user_id)s)

-- name: create_group
select id from public.create_group_conversation(%(title)s, %(user_ids)s::uuid[], %(program)s::text)

-- name: open_session
select array_agg(id) from public.open_session_conversation(%(session_id)s)

-- name: list_conversations
select
  c.id, c.type, c.title, c.created_by, coalesce(x.context_type, 'general') as context_type, x.session_id, x.metadata ->> 'program' as program,
  p.role, p.is_muted, p.is_archived, c.last_seq, p.last_read_seq,
  greatest(c.last_seq - p.last_read_seq - p.own_after_read, 0) as unread, c.last_message_at, c.created_at
from public.conversations as c
left join public.conversation_contexts as x on x.conversation_id = c.id
left join public.conversation_participants as p
  on p.conversation_id = c.id and p.user_id = (select private.me()) and p.left_at is null
where c.id = any (%(ids)s::uuid[])
order by c.created_at, c.id

-- name: list_session_conversations
select array_agg(x.conversation_id) from public.conversation_contexts as x where x.session_id = %(session_id)s

-- name: list_membership_changes
select t.id, t.user_id, p.display_name, t.change, t.changed_by, t.at_seq, t.created_at
from public.conversation_membership_changes as t
left join public.conversation_people(%(id)s) as p on p.user_id = t.user_id
where t.conversation_id = %(id)s
  and (%(after_at)s::timestamptz is null or (t.created_at, t.id) < (%(after_at)s, %(after_id)s::uuid))
order by t.created_at desc, t.id desc
limit %(limit)s

-- name: get_messaging_preferences
select coalesce((select x.share_receipts from public.messaging_preferences as x where x.user_id = (select private.me())), true) as share_receipts

-- name: change_messaging_preferences
insert into public.messaging_preferences as x (user_id, share_receipts)
values ((select private.me()), %(share_receipts)s)
on conflict (user_id) do update set share_receipts = excluded.share_receipts

-- name: change_title
update public.conversations set title = %(title)s where id = %(id)s

-- name: change_own_state
update public.conversation_participants
set is_muted = coalesce(%(is_muted)s, is_muted), is_archived = coalesce(%(is_archived)s, is_archived)
where conversation_id = %(id)s and user_id = (select private.me())

-- name: list_people
select user_id, display_name, role, is_current, joined_at, last_read_seq from public.conversation_people(%(id)s)

-- name: add_people
select public.add_to_conversation(%(id)s, %(user_ids)s::uuid[], %(share_history)s)

-- name: remove_person
select public.remove_from_conversation(%(id)s, %(user_id)s)

-- name: leave
select public.leave_conversation(%(id)s)

-- name: edit_message
select id from public.edit_message(%(id)s, %(content)s, %(mentions)s::uuid[])

-- name: delete_message
select id from public.delete_message(%(id)s, %(reason)s)

-- name: get_message
select public.conversation_timeline_json(m.conversation_id, m.seq + 1, 1) -> 'items' -> 0
from public.messages as m
where m.id = %(id)s

-- name: mark_read
select %(conversation_id)s::uuid as conversation_id, public.mark_read(%(conversation_id)s, %(seq)s) as last_read_seq

-- name: react
insert into public.message_reactions (message_id, user_id, emoji)
values (%(message_id)s, (select private.me()), %(emoji)s)
on conflict (message_id, user_id, emoji) do nothing

-- name: take_back_reaction
delete from public.message_reactions
where message_id = %(message_id)s and user_id = (select private.me()) and emoji = %(emoji)s

-- name: list_reactions
select r.user_id, p.display_name, r.emoji, r.created_at
from public.messages as m
cross join lateral public.conversation_people(m.conversation_id) as p
join public.message_reactions as r on r.message_id = m.id and r.user_id = p.user_id
where m.id = %(message_id)s
order by r.created_at, r.id

-- name: list_revisions
select revision, content, written_at, replaced_at
from public.message_revisions
where message_id = %(message_id)s
order by revision

-- name: list_deletions
select
  d.id, d.message_id, d.conversation_id, d.message_seq, d.sender_id, d.kind, d.deleted_by, d.reason, d.content, d.content_sha256,
  d.revisions, d.attachments, d.message_created_at, d.created_at
from public.message_deletions as d
where (%(conversation_id)s::uuid is null or d.conversation_id = %(conversation_id)s)
  and (%(after_at)s::timestamptz is null or (d.created_at, d.id) < (%(after_at)s, %(after_id)s::uuid))
order by d.created_at desc, d.id desc
limit %(limit)s

-- name: list_receipts
select r.user_id, p.display_name, r.read_at
from public.messages as m
cross join lateral public.conversation_people(m.conversation_id) as p
join public.message_read_receipts as r on r.message_id = m.id and r.user_id = p.user_id
where m.id = %(message_id)s
order by r.read_at, r.id

-- name: message_is_there
select exists (select from public.messages where id = %(message_id)s)

-- name: list_channel_states
select channel, status, sent_at, error_message
from public.message_delivery_states
where message_id = %(message_id)s
order by channel

-- name: list_deliveries
select
  d.id, d.recipient_id, p.display_name as recipient_name, d.channel, d.state, d.reason, d.attempts, d.next_attempt_at, d.sent_at,
  d.error_message, d.created_at
from public.messages as m
cross join lateral public.conversation_people(m.conversation_id) as p
join public.message_deliveries as d on d.message_id = m.id and d.recipient_id = p.user_id
where m.id = %(message_id)s
order by d.created_at, p.display_name, d.recipient_id, d.channel

-- name: list_reach
select
  d.recipient_id, p.display_name as recipient_name,
  case
    when bool_or(r.user_id is not null) then 'read'
    when bool_or(d.state = 'sent' and d.channel <> 'in_app') then 'told'
    when bool_or(d.state in ('pending', 'leased')) then 'on_its_way'
    when bool_or(d.state = 'sent') then 'in_the_app'
    else 'not_reached'
  end as reached,
  array_agg(distinct d.reason order by d.reason) filter (where d.state in ('failed', 'suppressed') and d.reason is not null) as reasons
from public.messages as m
cross join lateral public.conversation_people(m.conversation_id) as p
join public.message_deliveries as d on d.message_id = m.id and d.recipient_id = p.user_id
left join public.message_read_receipts as r on r.message_id = m.id and r.user_id = d.recipient_id
where m.id = %(message_id)s
group by d.recipient_id, p.display_name
order by p.display_name, d.recipient_id

-- name: delivery_statistics
select
  d.channel, d.state, d.reason, count(*) as count, sum(d.attempts)::bigint as attempts,
  percentile_disc(0.5) within group (order by extract(epoch from d.sent_at - d.created_at)::float8) as median_seconds,
  percentile_disc(0.99) within group (order by extract(epoch from d.sent_at - d.created_at)::float8) as p99_seconds,
  max(extract(epoch from now() - d.next_attempt_at)::float8) filter (where d.next_attempt_at < now()) as overdue_seconds
from public.message_deliveries as d
where d.created_at >= %(since)s and d.created_at < %(until)s
group by d.channel, d.state, d.reason
order by d.channel, d.state, count(*) desc, d.reason

-- name: list_suppressions
select s.id, s.address, s.reason, s.detail, s.delivery_id, s.created_at, s.lifted_at
from public.suppressed_addresses as s
where (%(after_at)s::timestamptz is null or (s.created_at, s.id) < (%(after_at)s, %(after_id)s::uuid))
order by s.created_at desc, s.id desc
limit %(limit)s

-- name: lift_suppression
select public.lift_suppression(%(id)s)

-- name: record_bounce
-- role: service_role
select private.record_bounce(%(mail_key)s, %(address)s, %(permanent)s, %(detail)s)

-- name: list_push_subscriptions
select id, endpoint, label, last_sent_at, retired_at, retired_reason, created_at
from public.push_subscriptions
where (%(after_at)s::timestamptz is null or (created_at, id) < (%(after_at)s, %(after_id)s::uuid))
order by created_at desc, id desc
limit %(limit)s

-- name: add_push_subscription
select public.register_push_subscription(%(endpoint)s, %(p256dh)s, %(auth)s, %(label)s)

-- name: get_push_subscription
select id, endpoint, label, last_sent_at, retired_at, retired_reason, created_at
from public.push_subscriptions
where id = %(id)s

-- name: remove_push_subscription
select public.remove_push_subscription(%(id)s)

-- name: get_contents
select m.id, m.content from public.messages as m where m.id = any (%(ids)s::uuid[]) and m.content is not null

-- name: lease_deliveries
-- role: service_role
select l.id, l.attempt
from private.lease_deliveries(%(batch)s, %(lease_seconds)s::float8, %(mail_after_seconds)s::float8) as l

-- name: load_deliveries
-- role: service_role
select
  d.attempts as attempt, d.channel::text as channel, d.recipient_id, d.conversation_id, u.email,
  nullif(btrim(concat_ws(' ', u.first_name, u.last_name)), '') as name, u.language, c.title,
  extract(epoch from private.quiet_until(d.recipient_id) - now())::float8 as quiet_seconds,
  coalesce(choice.hide_content, false) as hide_content,
  private.unsubscribe_token(d.recipient_id, 'messages') as unsubscribe_token, private.mail_key(%(id)s) as mail_key,
  d.id as delivery_id, d.message_id, d.message_seq as seq,
  nullif(btrim(concat_ws(' ', s.first_name, s.last_name)), '') as sender_name,
  case
    when m.deleted_at is not null then 'deleted'
    when plan.recipient_id is null then 'left'
    -- "Read" would tell of somebody's reading who does not share that; the plan says the same of their own choices.
    when x.share_receipts is false and p.last_read_seq >= d.message_seq then 'withheld'
    when plan.reason is not null then plan.reason
    when p.last_read_seq >= d.message_seq then 'read'
  end as refusal
from public.message_deliveries as d
join public.messages as m on m.id = d.message_id
join public.conversations as c on c.id = d.conversation_id
join public.users as u on u.id = d.recipient_id
join public.users as s on s.id = d.sender_id
left join public.conversation_participants as p on p.conversation_id = d.conversation_id and p.user_id = d.recipient_id
left join public.messaging_preferences as x on x.user_id = d.recipient_id
left join public.notification_choices as choice on choice.user_id = d.recipient_id
left join private.delivery_plan(d.message_id) as plan on plan.recipient_id = d.recipient_id and plan.channel = d.channel
where (d.id = %(id)s or d.mail_id = %(id)s) and d.state = 'leased' and d.attempts = %(attempt)s
  and d.lease_until > now() + make_interval(secs => %(margin_seconds)s)
order by d.message_seq

-- name: finish_deliveries
-- role: service_role
-- A mail that was put off before it was ever tried is gathered anew, with what has come since.
update public.message_deliveries
set
  state = %(state)s, reason = %(reason)s, error_message = left(%(error_message)s, 500), provider_id = %(provider_id)s,
  lease_until = null,
  sent_at = case when %(state)s = 'sent' then now() end,
  next_attempt_at = case when %(state)s = 'pending' then now() + make_interval(secs => %(delay_seconds)s) end,
  mail_id = case when %(reason)s = 'quiet_hours' and attempts = 1 then null else mail_id end
where id = any (%(ids)s::uuid[]) and state = 'leased' and attempts = %(attempt)s

-- name: begin_upload
select id from public.begin_upload(%(conversation_id)s, %(file_name)s, %(file_size)s, %(file_type)s)

-- name: finish_upload
select id from public.finish_upload(%(id)s)

-- name: get_upload
select
  id, conversation_id, file_name, coalesce(file_type, declared_type) as file_type, coalesce(file_size, declared_size) as file_size,
  state, refusal, scanned, expires_at
from public.message_uploads
where id = %(id)s

-- name: get_file
select f.id, f.file_name, f.file_type, f.file_size, f.url, f.url = '/v1/attachments/' || f.id || '/link' as is_ours
from public.message_attachments as f
where f.id = %(id)s

-- name: expected_size
-- role: service_role
select declared_size from public.message_uploads where id = %(id)s and state = 'waiting' and expires_at > now()

-- name: open_upload
-- role: service_role
select id, file_name, declared_type, declared_size from public.message_uploads where id = %(id)s and state = 'checking'

-- name: accept_upload
-- role: service_role
update public.message_uploads
set
  state = 'clean', file_type = %(file_type)s, file_size = %(file_size)s, attachment_type = %(kind)s::public.attachment_type,
  sha256 = %(sha256)s, scanned = %(scanned)s
where id = %(id)s and state = 'checking'

-- name: refuse_upload
-- role: service_role
update public.message_uploads set state = 'refused', refusal = %(reason)s where id = %(id)s and state = 'checking'

-- name: take_expired_uploads
-- role: service_role
with gone as (
  delete from public.message_uploads
  where id in (
    select id from public.message_uploads where expires_at < now() and state <> 'attached' limit 500 for update skip locked
  )
  returning id
)
select array_agg(id) from gone
