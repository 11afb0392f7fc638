-- The log of live events, a line of each kind of business. What triggers wrote while the world was built would change with
-- every row that somebody adds to it.
delete from public.live_events;
insert into public.live_events (kind, scope, conversation_id, message_seq, message_id, detail) values
  ('message.created', 'conversation', @direct, 1, @hello, '{"label": "said-direct"}'),
  ('message.created', 'conversation', @circle, 1, @welcome, '{"label": "said-circle-early"}'),
  ('message.created', 'conversation', @circle, 3, @notice, '{"label": "said-circle-late"}'),
  ('message.created', 'conversation', @direct-foreign, 1, @far, '{"label": "said-foreign"}'),
  ('message.created', 'conversation', @circle, 3, @random, '{"label": "said-and-purged"}');
insert into public.live_events (kind, scope, conversation_id, detail) values
  ('conversation.changed', 'conversation', @circle, '{"label": "titled-circle"}');
insert into public.live_events (kind, scope, conversation_id, message_seq, user_id, detail) values
  ('conversation.read', 'conversation', @circle, 3, @client, '{"label": "read-circle"}'),
  ('conversation.read', 'conversation', @circle, 3, @group_member, '{"label": "read-hidden"}');
insert into public.live_events (kind, scope, session_id, coach_id, user_id, detail) values
  ('session.changed', 'session', @upcoming, @coach, @client, '{"label": "moved-upcoming"}'),
  ('session.changed', 'session', @group, @coach, null, '{"label": "moved-group"}'),
  ('session.changed', 'session', @foreign, @other_coach, @foreign_client, '{"label": "moved-foreign"}');
insert into public.live_events (kind, scope, invoice_id, practice_id, user_id, detail)
select 'invoice.changed', 'invoice', i.id, i.practice_id, case when i.finalized_at is not null then i.user_id end,
  jsonb_build_object('label', 'paid-' || matrix.label(i.id))
from public.invoices as i
where i.id in (@invoice, @draft, @invoice-former, @invoice-foreign);
insert into public.live_events (kind, scope, user_id, notification_id, detail) values
  ('notification.created', 'person', @client, @notice-client, '{"label": "told-client"}'),
  ('notification.created', 'person', @suspended, @notice-suspended, '{"label": "told-suspended"}');
insert into public.live_events (kind, scope, user_id, conversation_id, detail) values
  ('conversation.left', 'person', @former_member, @circle, '{"label": "left-circle"}');

-- Notices on their way, the choices about them, and who was reminded.
delete from public.notification_deliveries;
insert into public.notification_choices (user_id, hide_content) values (@client, true), (@coach, false);
insert into public.notification_deliveries (id, notification_id, user_id, channel, topic, next_attempt_at) values
  (@mail-client, @notice-client, @client, 'email', 'payments', now() + interval '1 day'),
  (@mail-coach, @notice-coach, @coach, 'email', 'payments', now() + interval '1 day'),
  (@mail-suspended, @notice-suspended, @suspended, 'email', 'payments', now() + interval '1 day');
insert into public.session_reminders (session_id, user_id, lead_minutes, scheduled_at)
select s.id, p.id, 60, s.scheduled_at
from public.sessions as s cross join unnest(array[@coach::uuid, @client::uuid]) as p (id)
where s.id = @upcoming;
