-- A few rows of an older application's database, which tests.adoption.old_database makes: statuses as people typed them, zones
-- that are none, sessions that overlap. People: c…1 and c…2 are coaches, d…1 to d…3 clients, a…1 an admin.

insert into auth.users (id, email, raw_user_meta_data) values
  ('c0000000-0000-4000-8000-000000000001', 'noa@example.test', '{"role": "coach", "first_name": "Noa", "language": "he"}'),
  ('c0000000-0000-4000-8000-000000000002', 'omer@example.test', '{"role": "coach", "first_name": "Omer"}'),
  ('d0000000-0000-4000-8000-000000000001', 'dana@example.test', '{"first_name": "Dana", "language": "he"}'),
  ('d0000000-0000-4000-8000-000000000002', 'eli@example.test', '{"first_name": "Eli"}'),
  ('d0000000-0000-4000-8000-000000000003', 'gal@example.test', '{"first_name": "Gal"}'),
  ('a0000000-0000-4000-8000-000000000001', 'root@example.test', '{"role": "admin", "first_name": "Root"}');
update public.users set timezone = 'Asia/Jerusalem', created_at = null where first_name = 'Noa';
update public.users set timezone = 'Mars/Olympus' where first_name = 'Omer';
update public.users set timezone = null where first_name = 'Eli';
update public.users set timezone = 'EST' where first_name = 'Gal';

insert into public.coach_profiles (coach_id, session_rate, currency) values
  ('c0000000-0000-4000-8000-000000000001', 300, 'EUR'),
  ('c0000000-0000-4000-8000-000000000002', 75.00, 'USD');

-- The check follows the clock, so these would be refused today.
alter table public.sessions drop constraint sessions_future_or_current;
-- 1 to 4: Noa with Dana, long ago and to come. 5: Omer with Eli.
insert into public.sessions (id, coach_id, client_id, title, scheduled_at, duration_minutes, status, created_at) values
  ('50000000-0000-4000-8000-000000000001', 'c0000000-0000-4000-8000-000000000001', 'd0000000-0000-4000-8000-000000000001',
   'Paid long ago', now() - interval '90 days', 60, 'completed', now() - interval '95 days'),
  ('50000000-0000-4000-8000-000000000002', 'c0000000-0000-4000-8000-000000000001', 'd0000000-0000-4000-8000-000000000001',
   'At the same time', now() - interval '90 days', 60, 'completed', null),
  ('50000000-0000-4000-8000-000000000003', 'c0000000-0000-4000-8000-000000000001', 'd0000000-0000-4000-8000-000000000001',
   'Never closed', now() - interval '30 days', 60, 'scheduled', now() - interval '31 days'),
  ('50000000-0000-4000-8000-000000000004', 'c0000000-0000-4000-8000-000000000001', 'd0000000-0000-4000-8000-000000000001',
   'To come', now() + interval '30 days', 60, 'scheduled', now()),
  ('50000000-0000-4000-8000-000000000005', 'c0000000-0000-4000-8000-000000000002', 'd0000000-0000-4000-8000-000000000002',
   'Another coach', now() - interval '3 days', 45, 'no_show', now() - interval '10 days');
alter table public.sessions
  add constraint sessions_future_or_current check (scheduled_at >= now() - interval '1 day') not valid;

insert into public.payments (user_id, amount_cents, currency, status, provider_transaction_id, metadata) values
  ('d0000000-0000-4000-8000-000000000001', 25000, 'ILS', 'paid', 't1',
   '{"session_id": "50000000-0000-4000-8000-000000000001"}'),
  -- The same sum at the same time without a link: no session is paid by it.
  ('d0000000-0000-4000-8000-000000000001', 25000, 'ILS', 'Paid', 't2', '{"note": "kept"}'),
  ('d0000000-0000-4000-8000-000000000002', 9900, 'ils', 'paid ', 't3', null),
  -- A link to somebody else's session is none.
  ('d0000000-0000-4000-8000-000000000002', 9900, 'ILS', 'success', 't4',
   '{"session_id": "50000000-0000-4000-8000-000000000003"}'),
  ('d0000000-0000-4000-8000-000000000002', 9900, 'ILS', 'cancelled', 't5', '[]'),
  (null, 100, 'ILS', 'completed', null, '{}'),
  (null, 100, 'ILS', 'declined', null, '{}'),
  (null, 100, 'ILS', 'refunded', null, '{}'),
  (null, 100, 'ILS', 'pending', null, '{}');

insert into public.conversations (id, type, created_by) values
  ('b0000000-0000-4000-8000-000000000001', 'direct', 'c0000000-0000-4000-8000-000000000001');
insert into public.conversation_participants (conversation_id, user_id) values
  ('b0000000-0000-4000-8000-000000000001', 'c0000000-0000-4000-8000-000000000001'),
  ('b0000000-0000-4000-8000-000000000001', 'd0000000-0000-4000-8000-000000000001');
insert into public.messages (conversation_id, sender_id, content, metadata, created_at) values
  ('b0000000-0000-4000-8000-000000000001', 'c0000000-0000-4000-8000-000000000001', 'first', null, now() - interval '2 days'),
  ('b0000000-0000-4000-8000-000000000001', 'd0000000-0000-4000-8000-000000000001', 'second', '{}', now() - interval '1 day'),
  ('b0000000-0000-4000-8000-000000000001', 'c0000000-0000-4000-8000-000000000001', 'third', '{}', null);
insert into public.coach_notes (coach_id, client_id, session_id, title, content) values
  ('c0000000-0000-4000-8000-000000000001', 'd0000000-0000-4000-8000-000000000001',
   '50000000-0000-4000-8000-000000000001', 'Private', 'nobody else reads this');
-- Two ranges of one day that overlap, and one in no zone.
insert into public.coach_availability (coach_id, day_of_week, start_time, end_time, timezone) values
  ('c0000000-0000-4000-8000-000000000001', 0, '09:00', '12:00', 'Asia/Jerusalem'),
  ('c0000000-0000-4000-8000-000000000001', 0, '10:00', '24:00', 'Asia/Jerusalem'),
  ('c0000000-0000-4000-8000-000000000002', 1, '09:00', '12:00', 'Nowhere');
