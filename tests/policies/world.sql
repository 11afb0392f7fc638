-- One small world with something in every table. `@label` stands for the id of that label, the same in every run.

-- People. Each is one of the matrix's identities; a coach's practice and everybody's preferences come by trigger.
insert into auth.users (id, email, email_confirmed_at)
select matrix.uid(who), replace(who, '_', '-') || '@example.test', now()
from unnest(array['stranger', 'client', 'other_client', 'foreign_client', 'coach', 'other_coach', 'group_member',
  'former_member', 'suspended', 'admin']) who;
update public.users set first_name = initcap(split_part(email, '@', 1)), phone = '+972 3 000 0000';
update public.users set role = 'coach' where id in (@coach, @other_coach);
update public.users set role = 'admin' where id = @admin;
update public.users set status = 'suspended' where id = @suspended;

-- An account without an address has no profile; a profile without its row of choices is one of an old import.
insert into auth.users (id) values (@random_account);
delete from public.notification_preferences where user_id = @suspended;

insert into private.credentials (user_id, password_hash, email_verified_at) values
  (@client, 'not a hash', now()), (@coach, 'not a hash', now());
insert into private.auth_sessions (id, user_id, refresh_token_hash, expires_at) values
  (@login-client, @client, 'hash-client', now() + interval '1 day'),
  (@login-coach, @coach, 'hash-coach', now() + interval '1 day');
insert into private.one_time_tokens (token_hash, user_id, purpose, email, expires_at) values
  ('token-client', @client, 'verify_email', 'client@example.test', now() + interval '1 day');
insert into private.idempotency_keys (scope, key, fingerprint, response_status, response_body)
select matrix.uid(who)::text, 'key-1', 'fingerprint', 201, convert_to('answer of ' || who, 'UTF8') from unnest(array['client', 'coach']) who;
insert into private.rate_limits (bucket, window_start, hits) values ('bucket', '2026-01-01', 3);
insert into private.identity_events (id, user_id, actor_id, event) values (@event-suspended, @suspended, @admin, 'status_changed');

-- Who is whose client. The guest has no account yet; the invited one has, and has not answered.
insert into public.coach_clients (id, coach_id, client_id, email, display_name, status, source) values
  (@rel-client, @coach, @client, null, 'Client', 'active', 'manual'),
  (@rel-other-client, @coach, @other_client, null, null, 'active', 'booking'),
  (@rel-group-member, @coach, @group_member, null, null, 'active', 'session'),
  (@rel-former, @coach, @former_member, null, null, 'ended', 'manual'),
  (@rel-suspended, @coach, @suspended, null, null, 'active', 'manual'),
  (@rel-guest, @coach, null, 'guest@example.test', 'Guest', 'active', 'manual'),
  (@rel-invited, @other_coach, null, 'client@example.test', 'Client', 'invited', 'invitation'),
  (@rel-foreign, @other_coach, @foreign_client, null, null, 'active', 'manual');

insert into public.coach_availability (id, coach_id, day_of_week, start_time, end_time, timezone) values
  (@hours, @coach, 0, '09:00', '17:00', 'Asia/Jerusalem'),
  (@hours-other-coach, @other_coach, 1, '09:00', '12:00', 'Asia/Jerusalem');

insert into public.availability_overrides (id, coach_id, day, timezone) values
  (@day-off, @coach, '2031-05-04', 'Asia/Jerusalem'), (@day-off-foreign, @other_coach, '2031-05-04', 'Asia/Jerusalem');
insert into public.holiday_calendars (id, coach_id, country) values (@calendar, @coach, 'IL'), (@calendar-foreign, @other_coach, 'IL');
insert into public.coach_holidays (id, calendar_id, coach_id, day, name) values
  (@feast, @calendar, @coach, '2031-09-18', 'New year'), (@feast-foreign, @calendar-foreign, @other_coach, '2031-09-18', 'New year');
insert into public.booking_rules (coach_id, min_notice_minutes) values (@coach, 60), (@other_coach, 0);

insert into public.notifications (id, user_id, type, title, message) values
  (@notice-client, @client, 'welcome_message', 'Welcome', 'Good to have you.'),
  (@notice-coach, @coach, 'welcome_message', 'Welcome', 'Good to have you.'),
  (@notice-suspended, @suspended, 'welcome_message', 'Welcome', 'Good to have you.');

-- What coaches offer, and sessions past and to come. Seats, blocks and history of sessions come by trigger.
insert into public.session_templates
  (id, coach_id, title, default_duration_minutes, default_price_cents, session_type, default_capacity, is_active, roster_visible)
values
  (@offer-single, @coach, 'Coaching', 60, 25000, 'individual', null, true, false),
  (@offer-group, @coach, 'Group coaching', 90, 25000, 'group', 6, true, true),
  (@offer-retired, @coach, 'Old offer', 60, 10000, 'individual', null, false, false),
  (@offer-foreign, @other_coach, 'Coaching', 60, 30000, 'individual', null, true, false);

insert into public.sessions
  (id, coach_id, client_id, type, title, scheduled_at, duration_minutes, status, price_cents, capacity, roster_visible, template_id)
values
  (@single, @coach, @client, 'individual', 'Coaching', date_trunc('day', now()) - interval '20 days', 60, 'completed', 25000, null, false, @offer-single),
  (@unbilled, @coach, @client, 'individual', 'Coaching', date_trunc('day', now()) - interval '15 days', 60, 'completed', 25000, null, false, @offer-single),
  (@upcoming, @coach, @client, 'individual', 'Coaching', date_trunc('day', now()) + interval '3 days', 60, 'scheduled', 25000, null, false, @offer-single),
  (@sibling, @coach, @other_client, 'individual', 'Coaching', date_trunc('day', now()) + interval '4 days', 60, 'scheduled', 25000, null, false, @offer-single),
  (@group, @coach, null, 'group', 'Group', date_trunc('day', now()) + interval '5 days', 90, 'scheduled', 25000, 6, true, @offer-group),
  (@closed-group, @coach, null, 'group', 'Closed group', date_trunc('day', now()) + interval '6 days', 90, 'scheduled', 25000, 6, false, @offer-group),
  (@foreign, @other_coach, @foreign_client, 'individual', 'Coaching', date_trunc('day', now()) + interval '3 days', 60, 'scheduled', 30000, null, false, @offer-foreign);

insert into public.session_attendees (session_id, user_id, role, status, invited_by, cancelled_at, email, display_name) values
  (@group, @client, 'client', 'confirmed', @coach, null, null, null),
  (@group, @group_member, 'client', 'invited', @coach, null, null, null),
  (@group, @former_member, 'client', 'confirmed', @coach, now(), null, null),
  (@group, @suspended, 'client', 'confirmed', @coach, null, null, null),
  (@group, null, 'guest', 'invited', @coach, null, 'guest@example.test', 'Guest'),
  (@closed-group, @client, 'client', 'confirmed', @coach, null, null, null),
  (@closed-group, @group_member, 'client', 'confirmed', @coach, null, null, null);

-- Who came to what: records of it come by trigger.
update public.session_attendees set status = 'checked_in'
where (session_id, user_id) in ((@single, @client), (@foreign, @foreign_client));

insert into public.coach_blocks (id, coach_id, kind, during, expires_at) values
  (@holiday, @coach, 'time_off', tstzrange(date_trunc('day', now()) + interval '30 days', date_trunc('day', now()) + interval '31 days'), null),
  (@holiday-foreign, @other_coach, 'time_off', tstzrange(date_trunc('day', now()) + interval '30 days', date_trunc('day', now()) + interval '31 days'), null),
  (@hold, @coach, 'hold', tstzrange(date_trunc('day', now()) + interval '32 days', date_trunc('day', now()) + interval '33 days'), now() + interval '1 hour');

insert into public.booking_requests (id, kind, coach_id, client_id, template_id, starts_at, duration_minutes, currency, expires_at, block_id) values
  (@asked, 'request', @coach, @client, @offer-single, date_trunc('day', now()) + interval '34 days', 60, 'ILS', now() + interval '1 hour', null),
  (@held, 'hold', @coach, @other_client, @offer-single, date_trunc('day', now()) + interval '32 days', 60, 'ILS', now() + interval '1 hour', @hold),
  (@asked-suspended, 'request', @coach, @suspended, @offer-single, date_trunc('day', now()) + interval '35 days', 60, 'ILS', now() + interval '1 hour', null),
  (@asked-foreign, 'request', @other_coach, @foreign_client, @offer-foreign, date_trunc('day', now()) + interval '34 days', 60, 'ILS', now() + interval '1 hour', null);
insert into public.session_series (id, coach_id, client_id, rule, timezone) values
  (@row-of-sessions, @coach, @client, 'FREQ=WEEKLY;COUNT=1', 'UTC'), (@row-foreign, @other_coach, @foreign_client, 'FREQ=WEEKLY;COUNT=1', 'UTC');
insert into public.series_sessions (session_id, series_id, coach_id, client_id, ordinal, local_start) values
  (@upcoming, @row-of-sessions, @coach, @client, 1, '2031-01-01 10:00'), (@foreign, @row-foreign, @other_coach, @foreign_client, 1, '2031-01-01 10:00');
insert into public.cancellation_policies (id, coach_id, template_id, tiers, currency) values
  (@policy, @coach, null, '[{"hours": 24, "percent": 50}]', null),
  (@policy-group, @coach, @offer-group, '[{"hours": 24, "forfeit": true}]', null),
  (@policy-foreign, @other_coach, null, '[{"hours": 24, "fee_cents": 5000}]', 'ILS');
insert into public.seat_outcomes (id, session_id, attendee_id, coach_id, kind, by_coach, notice_minutes, amount_cents, currency)
select o.id, a.session_id, a.id, a.coach_id, 'moved', false, 60, 12500, 'ILS'
from (values
  (@outcome::uuid, @upcoming::uuid, @client::uuid), (@outcome-former::uuid, @group::uuid, @former_member::uuid),
  (@outcome-suspended::uuid, @group::uuid, @suspended::uuid), (@outcome-foreign::uuid, @foreign::uuid, @foreign_client::uuid)
) o (id, session_id, user_id)
join public.session_attendees a on a.session_id = o.session_id and a.user_id = o.user_id;
insert into public.seat_write_offs (id, attendee_id, practice_id, coach_client_id, currency, reason, undone_at)
select w.id, a.id, m.practice_id, a.coach_client_id, 'ILS', 'An apology.', now()
from (values (@seat-write-off::uuid, @upcoming::uuid, @client::uuid), (@seat-write-off-foreign::uuid, @foreign::uuid, @foreign_client::uuid))
  w (id, session_id, user_id)
join public.session_attendees a on a.session_id = w.session_id and a.user_id = w.user_id
join public.practice_members m on m.user_id = a.coach_id;

insert into private.access_links (token_hash, purpose, attendee_id, email, expires_at)
select encode(sha256('guest-token'), 'hex'), 'confirm', a.id, a.email, now() + interval '1 day'
from public.session_attendees a where a.email = 'guest@example.test';
insert into private.access_links (token_hash, purpose, attendee_id, email, expires_at)
select encode(sha256('move-token'), 'hex'), 'move', a.id, 'client@example.test', now() + interval '1 day'
from public.session_attendees a where a.session_id = @upcoming and a.user_id = @client;
insert into private.calendar_invitations (attendee_id, email, method, content)
select a.id, 'client@example.test', 'REQUEST', '{}'
from public.session_attendees a where a.session_id = @upcoming and a.user_id = @client;
insert into private.seat_charges (attendee_id, skipped)
select a.id, 'no_consented_method' from public.session_attendees a where a.session_id = @upcoming and a.user_id = @client;
insert into public.calendar_feeds (id, user_id, name, token_hash) values
  (@feed-client, @client, 'Phone', encode(sha256('feed-token'), 'hex')),
  (@feed-coach, @coach, 'Laptop', encode(sha256('feed-token-of-coach'), 'hex')),
  (@feed-suspended, @suspended, null, encode(sha256('feed-token-of-suspended'), 'hex'));

insert into public.coach_notes (id, coach_id, client_id, session_id, title, content, privacy_level) values
  (@note-private, @coach, @client, @single, 'Note', 'For myself.', 'private'),
  (@note-shared, @coach, @client, @single, 'Note', 'For both.', 'shared_with_client'),
  (@note-former, @coach, @former_member, null, 'Note', 'For both.', 'shared_with_client'),
  (@note-suspended, @coach, @suspended, null, 'Note', 'For both.', 'shared_with_client'),
  (@note-foreign, @other_coach, @foreign_client, @foreign, 'Note', 'For myself.', 'private');

insert into public.reflections (id, client_id, session_id, content) values
  (@reflection-session, @client, @single, 'What I take with me.'),
  (@reflection-free, @client, null, 'In between.'),
  (@reflection-former, @former_member, null, 'When I still came.'),
  (@reflection-foreign, @foreign_client, @foreign, 'What I take with me.');
insert into private.adoption_decisions (kind, key, value) values ('payments.status', 'Paid', 'paid');

-- Money. The client's invoice is partly paid, with a part of that given back and an intent open on the rest.
insert into public.gateway_accounts (id, practice_id, provider, display_name, is_default, webhook_token_hash)
select g.id, m.practice_id, 'sandbox', 'Sandbox', true, encode(sha256(convert_to(g.id::text, 'UTF8')), 'hex')
from (values (@gateway::uuid, @coach::uuid), (@gateway-foreign::uuid, @other_coach::uuid)) g (id, coach_id)
join public.practice_members m on m.user_id = g.coach_id;
insert into public.gateway_accounts (id, practice_id, provider, display_name, webhook_token_hash, disabled_at)
select @gateway-spare, m.practice_id, 'sandbox', 'Before it has secrets', 'hash-spare', now()
from public.practice_members m where m.user_id = @coach;
insert into private.gateway_secrets (account_id, api_key, webhook_secret) values
  (@gateway, 'sealed:key', 'sealed:secret'), (@gateway-foreign, 'sealed:key', 'sealed:secret');
insert into public.webhook_events (id, gateway_account_id, provider, event_id, event_type, payload) values
  (@webhook, @gateway, 'sandbox', 'event-1', 'payment.succeeded', '{}');

insert into private.logos (practice_id, sha256, media_type, content)
select m.practice_id, encode(sha256('\xffd8ff'), 'hex'), 'image/jpeg', '\xffd8ff' from public.practice_members m where m.user_id = @coach;
insert into public.practice_letterheads (practice_id, transfer_details, logo_sha256)
select m.practice_id, 'Bank 10, account 1', l.sha256 from public.practice_members m
join private.logos l on l.practice_id = m.practice_id where m.user_id = @coach;
insert into public.invoices (id, user_id, coach_id, coach_client_id, total_amount_cents) values
  (@invoice, @client, @coach, @rel-client, 0),
  (@draft, @client, @coach, @rel-client, 0),
  (@invoice-other, @other_client, @coach, @rel-other-client, 0),
  (@invoice-former, @former_member, @coach, @rel-former, 0),
  (@invoice-suspended, @suspended, @coach, @rel-suspended, 0),
  (@invoice-foreign, @foreign_client, @other_coach, @rel-foreign, 0);
insert into public.invoice_line_items (id, invoice_id, session_id, description, amount_cents) values
  (@line, @invoice, @single, 'Coaching', 25000),
  (@line-draft, @draft, null, 'Workbook', 5000),
  (@line-other, @invoice-other, null, 'Workbook', 5000),
  (@line-former, @invoice-former, null, 'Workbook', 5000),
  (@line-suspended, @invoice-suspended, null, 'Workbook', 5000),
  (@line-foreign, @invoice-foreign, @foreign, 'Coaching', 30000);
select public.finalize_invoice(id) from unnest(array[
  @invoice::uuid, @invoice-other::uuid, @invoice-former::uuid, @invoice-suspended::uuid, @invoice-foreign::uuid]) id;

insert into public.invoice_reasons (id, invoice_id, practice_id, kind, reason)
select r.id, i.id, i.practice_id, 'written_off', 'Kindness.'
from (values (@invoice-reason::uuid, @invoice::uuid), (@invoice-reason-foreign::uuid, @invoice-foreign::uuid)) r (id, invoice)
join public.invoices i on i.id = r.invoice;

insert into public.packages (id, practice_id, template_id, title, sessions, price_cents, currency, is_active)
select p.id, m.practice_id, p.offer, 'Ten sessions', 10, 200000, 'ILS', p.active
from (values (@package::uuid, @coach::uuid, @offer-single::uuid, true), (@package-retired, @coach, @offer-single, false),
  (@package-foreign, @other_coach, @offer-foreign, true)) p (id, coach, offer, active)
join public.practice_members m on m.user_id = p.coach;
insert into public.credits (id, practice_id, coach_client_id, template_id, title, sessions, spent_at, granted_at, granted_on)
select k.id, m.practice_id, k.client, k.offer, 'Ten sessions', 10, 'attendance', 'hand', now()
from (values (@credit::uuid, @coach::uuid, @rel-client::uuid, @offer-single::uuid), (@credit-former, @coach, @rel-former, @offer-single),
  (@credit-suspended, @coach, @rel-suspended, @offer-single), (@credit-foreign, @other_coach, @rel-foreign, @offer-foreign)) k (id, coach, client, offer)
join public.practice_members m on m.user_id = k.coach;
insert into public.credit_entries (id, credit_id, practice_id, change, reason)
select e.id, k.id, k.practice_id, 10, 'granted' from (values (@entry::uuid, @credit::uuid), (@entry-former, @credit-former),
  (@entry-suspended, @credit-suspended), (@entry-foreign, @credit-foreign)) e (id, credit)
join public.credits k on k.id = e.credit;

insert into private.document_links (token_hash, invoice_id, expires_at) values
  (encode(sha256('document-token'), 'hex'), @invoice, now() + interval '1 day');
insert into public.document_sends (id, invoice_id, practice_id, email) select s.id, i.id, i.practice_id, i.buyer_email
from (values (@send::uuid, @invoice::uuid), (@send-foreign::uuid, @invoice-foreign::uuid)) s (id, invoice_id)
join public.invoices i on i.id = s.invoice_id;

insert into public.payment_methods (id, user_id, type, provider, provider_method_id, last4, gateway_account_id) values
  (@card, @client, 'credit_card', 'sandbox', 'pm-1', '4242', @gateway),
  (@card-foreign, @foreign_client, 'credit_card', 'sandbox', 'pm-2', '4242', @gateway-foreign);
insert into public.payment_method_setups (id, user_id, practice_id, gateway_account_id, consent_text)
select @setup, @client, g.practice_id, g.id, 'Keep my card.' from public.gateway_accounts g where g.id = @gateway;
insert into public.reconciliations (id, gateway_account_id, practice_id, since, until, rows_there, rows_here, matched, findings)
select @reconciliation, g.id, g.practice_id, now(), now(), 0, 0, 0, '[]' from public.gateway_accounts g where g.id = @gateway;
insert into public.gateway_alerts (id, gateway_account_id, practice_id, kind, detail)
select @alert, g.id, g.practice_id, 'gateway_unreachable', 'Away.' from public.gateway_accounts g where g.id = @gateway;
insert into public.payment_intents (id, invoice_id, amount_cents, status, gateway_account_id, provider, provider_intent_id, client_secret) values
  (@intent, @invoice, 15000, 'requires_confirmation', @gateway, 'sandbox', 'intent-1', 'secret'),
  (@intent-foreign, @invoice-foreign, 20000, 'requires_confirmation', @gateway-foreign, 'sandbox', 'intent-2', 'secret');
insert into public.payments (id, invoice_id, amount_cents, status, provider, provider_transaction_id, gateway_account_id, method_id) values
  (@payment, @invoice, 10000, 'paid', 'sandbox', 'charge-1', @gateway, @card),
  (@payment-spare, @invoice, 2000, 'paid', 'sandbox', 'charge-3', @gateway, null),
  (@payment-former, @invoice-former, 5000, 'paid', 'manual', null, null, null),
  (@payment-foreign, @invoice-foreign, 10000, 'paid', 'sandbox', 'charge-2', @gateway-foreign, @card-foreign);
insert into public.payment_line_items (id, payment_id, description, amount_cents) values
  (@payment-line, @payment, 'Coaching', 10000),
  (@payment-line-foreign, @payment-foreign, 'Coaching', 10000);
insert into public.payment_allocations (id, payment_id, invoice_id, amount_cents) values
  (@share, @payment, @invoice, 10000),
  (@share-former, @payment-former, @invoice-former, 5000),
  (@share-foreign, @payment-foreign, @invoice-foreign, 10000);
insert into public.payment_refunds (id, payment_id, amount_cents, status, next_check_at) values
  (@refund, @payment, 1000, 'pending', now() + interval '1 hour'),
  (@refund-foreign, @payment-foreign, 1000, 'pending', now() + interval '1 hour');

-- Conversations: two people each, and the group's. One member came later, one has left, one is suspended.
insert into public.conversations (id, type, title, created_by, direct_key) values
  (@direct, 'direct', null, @coach, 'direct'),
  (@circle, 'group', 'Group', @coach, 'circle'),
  (@direct-foreign, 'direct', null, @other_coach, 'direct-foreign'),
  (@spare, 'direct', null, @coach, 'spare');
insert into public.conversation_contexts (id, conversation_id, context_type, session_id) values
  (@context-direct, @direct, 'general', null),
  (@context-circle, @circle, 'session', @group),
  (@context-foreign, @direct-foreign, 'general', null);
insert into public.conversation_participants (conversation_id, user_id, role, left_at, history_from_seq) values
  (@direct, @coach, 'coach', null, 1),
  (@direct, @client, 'member', null, 1),
  (@circle, @coach, 'coach', null, 1),
  (@circle, @client, 'member', null, 1),
  (@circle, @group_member, 'member', null, 2),
  (@circle, @former_member, 'member', now(), 1),
  (@circle, @suspended, 'member', null, 1),
  (@direct-foreign, @other_coach, 'coach', null, 1),
  (@direct-foreign, @foreign_client, 'member', null, 1);
insert into public.push_subscriptions (id, user_id, endpoint, p256dh, auth) values
  (@phone, @client, 'https://push.example.test/1', repeat('a', 87), repeat('b', 22)),
  (@phone-coach, @coach, 'https://push.example.test/2', repeat('a', 87), repeat('b', 22));

insert into public.suppressed_addresses (id, address, reason) values
  (@dead-address, 'group-member@example.test', 'bounced'), (@dead-stranger, 'nobody@example.test', 'by_hand');

-- One statement each, so that they are numbered in this order.
insert into public.messages (id, conversation_id, sender_id, content) values (@hello, @direct, @coach, 'Hello');
insert into public.messages (id, conversation_id, sender_id, content) values (@answer, @direct, @client, 'Hello to you');
insert into public.messages (id, conversation_id, sender_id, content) values (@welcome, @circle, @coach, 'Welcome');
insert into public.messages (id, conversation_id, sender_id, content) values (@question, @circle, @client, 'When?');
insert into public.messages (id, conversation_id, sender_id, content) values (@notice, @circle, @coach, 'On Sunday');
insert into public.messages (id, conversation_id, sender_id, content) values (@farewell, @circle, @former_member, 'I am leaving');
insert into public.messages (id, conversation_id, sender_id, content) values (@mistake, @circle, @client, 'Not for here');
insert into public.messages (id, conversation_id, sender_id, content) values (@far, @direct-foreign, @other_coach, 'Elsewhere');
-- Old messages of an import plan no deliveries.
insert into public.messages (id, conversation_id, sender_id, content, created_at)
values (@imported, @direct, @coach, 'Long ago', now() - interval '1 year');
insert into public.message_mentions (id, message_id, mentioned_user_id) values
  (@mention, @notice, @client),
  (@mention-early, @welcome, @client),
  (@mention-foreign, @far, @foreign_client);
insert into public.message_reactions (id, message_id, user_id, emoji) values
  (@smile, @hello, @client, '🙂'),
  (@smile-early, @welcome, @client, '🙂'),
  (@smile-late, @notice, @group_member, '🙂'),
  (@smile-left, @notice, @former_member, '🙂'),
  (@smile-foreign, @far, @foreign_client, '🙂');
insert into public.message_uploads (id, user_id, conversation_id, file_name, declared_type, declared_size) values
  (@upload, @client, @direct, 'plan.pdf', 'application/pdf', 10),
  (@upload-former, @former_member, @circle, 'plan.pdf', 'application/pdf', 10),
  (@upload-coach, @coach, @circle, 'plan.pdf', 'application/pdf', 10);
insert into public.message_attachments (id, message_id, file_name, file_size, file_type, url) values
  (@file, @hello, 'plan.pdf', 1000, 'application/pdf', '/files/1'),
  (@file-early, @welcome, 'plan.pdf', 1000, 'application/pdf', '/files/2'),
  (@file-foreign, @far, 'plan.pdf', 1000, 'application/pdf', '/files/3');
insert into public.message_read_receipts (id, message_id, user_id) values
  (@receipt, @hello, @client),
  (@receipt-early, @welcome, @client),
  (@receipt-late, @notice, @group_member),
  (@receipt-foreign, @far, @foreign_client);
update public.messages set content = content || ' (edited)' where id in (@welcome, @question, @far);
insert into public.messaging_preferences (user_id, share_receipts) values (@coach, true), (@group_member, false);
update public.messages set deleted_at = now(), deleted_by = @client, content = null where id = @mistake;
insert into public.typing_indicators (id, conversation_id, user_id, expires_at) values
  (@typing, @direct, @client, now() + interval '1 day'),
  (@typing-circle, @circle, @group_member, now() + interval '1 day'),
  (@typing-past, @circle, @client, now() - interval '1 day'),
  (@typing-left, @circle, @former_member, now() - interval '1 day'),
  (@typing-foreign, @direct-foreign, @foreign_client, now() + interval '1 day');
