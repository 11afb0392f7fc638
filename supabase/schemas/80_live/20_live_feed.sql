create or replace view public.live_feed with (security_invoker = true) as
select
  f.id, f.xid, f.kind, f.conversation_id, f.created_at, f.data
from (
  select
    e.xid, e.id, e.kind, e.conversation_id, e.created_at,
    case
      when e.kind in ('message.created', 'message.edited', 'message.deleted') then
        case when m.id is not null then json_build_object(
          'id', m.id, 'conversation_id', m.conversation_id, 'seq', m.seq, 'type', m.type, 'sender_id', m.sender_id,
          'content', m.content, 'reply_to_id', m.reply_to_id, 'is_edited', m.is_edited, 'edited_at', m.edited_at,
          'deleted_at', m.deleted_at, 'created_at', m.created_at,
          'system', case when m.type = 'system' and m.deleted_at is null then m.metadata end,
          'attachments', coalesce(
            (
              select json_agg(
                json_build_object(
                  'id', f.id, 'file_name', f.file_name, 'file_size', f.file_size, 'file_type', f.file_type,
                  'kind', f.attachment_type)
                order by f.created_at, f.id)
              from public.message_attachments as f
              where f.message_id = m.id
            ),
            '[]'),
          'mentions', coalesce(
            (
              select json_agg(x.mentioned_user_id order by x.mentioned_user_id)
              from public.message_mentions as x
              where x.message_id = m.id
            ),
            '[]')
        ) end
      when e.kind in ('reaction.added', 'reaction.removed') then json_build_object(
        'conversation_id', e.conversation_id, 'message_id', e.message_id, 'seq', e.message_seq, 'user_id', e.user_id,
        'emoji', e.detail ->> 'emoji')
      when e.kind = 'conversation.read' then json_build_object(
        'conversation_id', e.conversation_id, 'user_id', e.user_id, 'seq', e.message_seq)
      when e.kind in ('participant.joined', 'participant.left') then json_build_object(
        'conversation_id', e.conversation_id, 'user_id', e.user_id)
      when e.kind = 'conversation.changed' then
        case when c.id is not null then json_build_object(
          'id', c.id, 'type', c.type, 'title', c.title, 'last_seq', c.last_seq
        ) end
      when e.kind in ('conversation.joined', 'conversation.left') then json_build_object('id', e.conversation_id)
      when e.kind = 'session.changed' then
        case when s.id is not null then json_build_object(
          'id', s.id, 'coach_id', s.coach_id, 'type', s.type, 'title', s.title, 'status', s.status,
          'scheduled_at', s.scheduled_at, 'ends_at', s.ends_at
        ) end
      when e.kind = 'session.left' then json_build_object('id', e.session_id)
      when e.kind = 'invoice.changed' then
        case when i.id is not null then json_build_object(
          'id', i.id, 'status', i.status, 'document_number', i.document_number,
          'total_amount_cents', i.total_amount_cents, 'currency', i.currency
        ) end
      when e.kind = 'invoice.deleted' then json_build_object('id', e.invoice_id)
      when e.kind = 'sign_in.ended' then json_build_object('id', e.detail ->> 'sign_in_id')
      when e.kind in ('notification.created', 'notification.changed') then
        case when n.id is not null then json_build_object(
          'id', n.id, 'type', n.type, 'title', n.title, 'message', n.message, 'data', n.data, 'action_url', n.action_url,
          'read_at', n.read_at, 'created_at', n.created_at
        ) end
      when e.kind = 'notification.deleted' then json_build_object('id', e.notification_id)
    end as data
  from public.live_events as e
  left join public.messages as m
    on e.kind in ('message.created', 'message.edited', 'message.deleted') and m.id = e.message_id
  left join public.conversations as c on e.kind = 'conversation.changed' and c.id = e.conversation_id
  left join public.sessions as s on e.kind = 'session.changed' and s.id = e.session_id
  left join public.invoices as i on e.kind = 'invoice.changed' and i.id = e.invoice_id
  left join public.notifications as n
    on e.kind in ('notification.created', 'notification.changed') and n.id = e.notification_id
) as f
where f.data is not null;
comment on view public.live_feed is
  'What a live stream says: each event with what it is about as that is now, under the reader''s policies. What is gone or no longer theirs to see is left out.';

revoke all on public.live_feed from public, anon, authenticated, service_role;
grant select on public.live_feed to authenticated;
