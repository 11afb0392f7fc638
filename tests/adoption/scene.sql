-- The people of tests.adoption.scene, with something of everything. One statement ends at each semicolon at the end of a line.
insert into auth.users (id, email, raw_user_meta_data) values
  (%(coach)s, 'coach@example.test', '{"role": "coach", "first_name": "Noa"}'),
  (%(other_coach)s, 'other-coach@example.test', '{"role": "coach", "first_name": "Omer"}'),
  (%(client)s, 'client@example.test', '{"first_name": "Dana"}'),
  (%(other_client)s, 'other-client@example.test', '{"first_name": "Eli"}'),
  (%(former)s, 'former@example.test', '{"first_name": "Gal"}'),
  (%(stranger)s, 'stranger@example.test', '{}'),
  (%(admin)s, 'admin@example.test', '{"role": "admin"}');
update public.users set mfa_enabled = true, mfa_secret = 'secret', mfa_backup_codes = array['code'] where id = %(client)s;
alter table public.sessions drop constraint sessions_future_or_current;
insert into public.sessions (id, coach_id, client_id, title, scheduled_at, status, notes) values
  (%(held)s, %(coach)s, %(client)s, 'Held', now() - interval '40 days', 'completed', 'in confidence'),
  (%(ahead)s, %(coach)s, %(client)s, 'Ahead', date_trunc('day', now()) + interval '30 days 8 hours', 'scheduled', null),
  (%(with_other_coach)s, %(other_coach)s, %(client)s, 'Elsewhere', now() - interval '300 days', 'completed', null);
insert into public.sessions (coach_id, client_id, title, scheduled_at, status)
values (%(coach)s, %(other_client)s, 'Another', now() - interval '20 days', 'completed');
alter table public.sessions add constraint sessions_future_or_current check (scheduled_at >= now() - interval '1 day') not valid;
insert into public.coach_availability (coach_id, day_of_week, start_time, end_time, timezone)
select %(coach)s, d, '08:00', '12:00', 'UTC' from generate_series(0, 6) as d;
insert into public.coach_notes (id, coach_id, client_id, session_id, title, content, privacy_level) values
  (%(note)s, %(coach)s, %(client)s, %(held)s, 'Note', 'For myself', 'private'),
  (%(shared_note)s, %(coach)s, %(client)s, %(held)s, 'Note', 'For both', 'shared_with_client');
insert into public.reflections (id, client_id, session_id, content) values
  (%(reflection)s, %(client)s, %(held)s, 'What I take with me'),
  (%(reflection_elsewhere)s, %(client)s, %(with_other_coach)s, 'What I said elsewhere');
insert into public.conversations (id, type, created_by) values (%(talk)s, 'direct', %(coach)s);
insert into public.conversation_participants (conversation_id, user_id) values (%(talk)s, %(coach)s), (%(talk)s, %(client)s);
insert into public.messages (id, conversation_id, sender_id, content) values (%(message)s, %(talk)s, %(coach)s, 'Between us');
insert into public.file_uploads
  (id, user_id, session_id, filename, original_filename, storage_path, file_type, file_size, bucket_name) values
  (%(file)s, %(coach)s, null, 'shared.pdf', 'shared.pdf', '1', 'application/pdf', 1, 'documents'),
  (%(session_file)s, %(coach)s, %(held)s, 'session.pdf', 'session.pdf', '2', 'application/pdf', 1, 'session-files'),
  (%(foreign_file)s, %(other_coach)s, null, 'other.pdf', 'other.pdf', '3', 'application/pdf', 1, 'documents');
insert into public.file_shares (file_id, shared_by, shared_with) values (%(file)s, %(coach)s, %(client)s);
insert into public.session_files (session_id, file_id, uploaded_by) values (%(held)s, %(session_file)s, %(coach)s);
insert into public.session_ratings (session_id, coach_id, client_id, rating) values (%(held)s, %(coach)s, %(client)s, 5);
insert into public.session_requests (id, coach_id, client_id, requested_by, scheduled_at, duration_minutes, notes)
values (%(request)s, %(coach)s, %(client)s, %(client)s, now() + interval '9 days', 60, 'in confidence');
insert into public.payments (id, user_id, amount_cents, status, provider_transaction_id, metadata)
values (%(payment)s, %(client)s, 25000, 'paid', 'transaction', jsonb_build_object('session_id', %(held)s::uuid));
insert into public.notifications (id, user_id, type, title, message)
values (%(notice)s, %(client)s, 'welcome_message', 'Welcome', 'Good to have you');
insert into public.notification_delivery_logs (id, notification_id, channel) values (%(log)s, %(notice)s, 'email');
refresh materialized view public.coach_totals;
