-- What an older application left in its database, on top of the base tables: policies that recurse, triggers that trust whoever
-- signs up, functions for anybody, views past every policy, statuses as people typed them, and a check that follows the clock.
-- People: c…1 and c…2 are coaches, d…1 to d…3 clients, a…1 an admin.

insert into auth.users (id, email) values
  ('c0000000-0000-4000-8000-000000000001', 'noa@example.test'),
  ('c0000000-0000-4000-8000-000000000002', 'omer@example.test'),
  ('d0000000-0000-4000-8000-000000000001', 'dana@example.test'),
  ('d0000000-0000-4000-8000-000000000002', 'eli@example.test'),
  ('d0000000-0000-4000-8000-000000000003', 'gal@example.test'),
  ('a0000000-0000-4000-8000-000000000001', 'root@example.test');
insert into public.users (id, email, role, first_name, timezone, language, created_at) values
  ('c0000000-0000-4000-8000-000000000001', 'noa@example.test', 'coach', 'Noa', 'Asia/Jerusalem', 'he', null),
  ('c0000000-0000-4000-8000-000000000002', 'omer@example.test', 'coach', 'Omer', 'Mars/Olympus', 'en', now()),
  ('d0000000-0000-4000-8000-000000000001', 'dana@example.test', 'client', 'Dana', 'UTC', 'he', now()),
  ('d0000000-0000-4000-8000-000000000002', 'eli@example.test', 'client', 'Eli', null, 'en', now()),
  ('d0000000-0000-4000-8000-000000000003', 'gal@example.test', 'client', 'Gal', 'EST', 'en', now()),
  ('a0000000-0000-4000-8000-000000000001', 'root@example.test', 'admin', 'Root', 'UTC', 'en', now());

create table public.coach_profiles (
  id uuid primary key default gen_random_uuid(),
  coach_id uuid not null unique references public.users (id) on delete cascade,
  session_rate numeric(10, 2) not null default 75.00,
  currency varchar(3) not null default 'USD'
);
insert into public.coach_profiles (coach_id, session_rate, currency) values
  ('c0000000-0000-4000-8000-000000000001', 300, 'EUR'),
  ('c0000000-0000-4000-8000-000000000002', 75.00, 'USD');

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

create table public.message_analytics_events (
  id uuid primary key default gen_random_uuid(),
  event_type text not null,
  message_id uuid not null references public.messages (id) on delete cascade
);
alter table public.message_analytics_events enable row level security;

create function public.track_message_sent() returns trigger language plpgsql as $$
begin
  insert into message_analytics_events (event_type, message_id) values ('sent', new.id);
  return new;
end $$;
create trigger track_message_sent_trigger after insert on public.messages
for each row execute function public.track_message_sent();

create function public.update_updated_at_column() returns trigger language plpgsql as $$
begin
  new.updated_at = now();
  return new;
end $$;
create trigger update_sessions_updated_at before update on public.sessions
for each row execute function public.update_updated_at_column();

create function public.handle_user_role_change() returns trigger language plpgsql security definer as $$
begin
  perform public.update_user_auth_metadata(new.id, new.role);
  return new;
end $$;
create trigger trigger_user_role_change after update on public.users
for each row execute function public.handle_user_role_change();

create function public.update_user_auth_metadata(user_id uuid, role text) returns void language sql security definer as $$
  update auth.users set raw_user_meta_data = jsonb_build_object('role', role) where id = user_id
$$;

create function public.handle_new_user() returns trigger language plpgsql security definer as $$
begin
  insert into public.users (id, email, role)
  values (new.id, new.email, coalesce(new.raw_user_meta_data ->> 'role', 'client')::public.user_role);
  return new;
end $$;
create trigger on_auth_user_created after insert on auth.users
for each row execute function public.handle_new_user();

create function public.send_notification(user_id uuid, type public.notification_type, title text, message text)
returns uuid language sql security definer as $$
  insert into public.notifications (user_id, type, title, message) values ($1, $2, $3, $4) returning id
$$;
create function public.get_last_messages_for_conversations(ids uuid[])
returns setof public.messages language sql security definer as $$
  select * from public.messages where conversation_id = any (ids)
$$;

create policy "Users can view participants" on public.conversation_participants for select
using (exists (
  select from public.conversation_participants as p where p.conversation_id = conversation_participants.conversation_id
));
create policy "Anyone can join" on public.conversation_participants for insert with check (user_id = auth.uid());
create policy "Users can update own sessions" on public.sessions for update
using (auth.uid() = coach_id or auth.uid() = client_id);
create policy "Users can update own profile" on public.users for update using (auth.uid() = id);
create policy "Anyone can view availability" on public.coach_availability for select using (true);
create policy payments_no_write on public.payments for all using (false);

create view public.session_details as
select s.*, c.email as coach_email, d.email as client_email
from public.sessions as s
join public.users as c on c.id = s.coach_id
join public.users as d on d.id = s.client_id;
create view public.session_titles as select id, title from public.session_details;
create materialized view public.coach_stats as select coach_id, count(*) as sessions from public.sessions group by coach_id;
create view public.elsewhere as select 1 as one;

-- As Supabase grants by default.
grant all on all tables in schema public to anon, authenticated, service_role;
grant execute on all functions in schema public to anon, authenticated, service_role;
