-- People, with zones that are none, names in two scripts or missing, and times that were never set.
insert into auth.users (id, email, email_confirmed_at, raw_user_meta_data)
select
  pg_temp.uid('person', n), format('person%s@example.test', n), pg_temp.today() - interval '3 years',
  jsonb_build_object('role', case
    when n <= pg_temp.size('coaches') then 'coach' when n = pg_temp.size('people') then 'admin' else 'client' end)
from generate_series(1, pg_temp.size('people')) as n;

update public.users as u
set
  first_name = pg_temp.pick(n, 10, array['Noa', 'דנה', '', null, U&'\200F\05D0\05D1', 'Zoë', E'A\tB']),
  last_name = pg_temp.pick(n, 11, array['Levi', 'כהן', null, repeat('x', 300)]),
  phone = pg_temp.pick(n, 12, array[null, '', '050-0000000', '+972 50 000 0000', 'call me']),
  timezone = pg_temp.pick(n, 13, array[
    'UTC', 'Asia/Jerusalem', 'Asia/Jerusalem', 'Europe/Berlin', 'EST', 'GMT+3', 'Mars/Olympus', '', 'asia/jerusalem', null]),
  language = pg_temp.pick(n, 14, array['en', 'he'])::public.language,
  status = pg_temp.pick(n, 15, array['active', 'active', 'active', 'active', 'inactive', 'suspended'])::public.user_status,
  created_at = case pg_temp.roll(n, 16, 10) when 0 then null else pg_temp.today() - make_interval(days => pg_temp.roll(n, 17, 1500)) end,
  updated_at = case pg_temp.roll(n, 18, 10) when 0 then null else pg_temp.today() end,
  mfa_enabled = case pg_temp.roll(n, 19, 5) when 0 then null else pg_temp.roll(n, 19, 5) = 1 end,
  mfa_secret = case pg_temp.roll(n, 19, 5) when 1 then 'secret of person ' || n end,
  mfa_backup_codes = case pg_temp.roll(n, 19, 5) when 1 then array['code 1', 'code 2'] end
from generate_series(1, pg_temp.size('people')) as n
where u.id = pg_temp.uid('person', n);

-- The same address to everybody but the database.
update public.users as u
set email = format('Person%s@Example.test', n - 1)
from generate_series(1, pg_temp.size('people') * pg_temp.size('addresses')) as n
where u.id = pg_temp.uid('person', n) and mod(n, 10) = 8;

insert into public.coach_profiles (coach_id, session_rate, currency)
select
  pg_temp.uid('person', n),
  case pg_temp.roll(n, 20, 3) when 0 then 75.00 else 100 + pg_temp.roll(n, 21, 300) end,
  case pg_temp.roll(n, 20, 3) when 0 then 'USD' else pg_temp.pick(n, 22, array['USD', 'ILS', 'eur', 'XYZ', '']) end
from generate_series(1, pg_temp.size('coaches')) as n
where pg_temp.roll(n, 23, 4) > 0;

-- Only those who were there when the table was made.
insert into public.notification_preferences (user_id, timezone, quiet_hours_enabled, quiet_hours_start, digest_frequency, created_at)
select
  pg_temp.uid('person', n), pg_temp.pick(n, 24, array['UTC', 'Asia/Jerusalem', 'Nowhere', null]), pg_temp.roll(n, 25, 5) = 0,
  case pg_temp.roll(n, 26, 3) when 0 then null else time '22:00' end, pg_temp.pick(n, 27, array['daily', 'never', null]),
  case pg_temp.roll(n, 28, 5) when 0 then null else pg_temp.today() end
from generate_series(1, pg_temp.size('people')) as n
where pg_temp.roll(n, 29, 2) = 0;

-- Ranges that overlap, are switched off, or lie in no zone.
insert into public.coach_availability (
  coach_id, day_of_week, start_time, end_time, is_available, timezone, buffer_before_minutes, max_bookings_per_slot)
select
  pg_temp.uid('person', n), d, make_time(8 + k, 0, 0), make_time(11 + 2 * k, 0, 0), pg_temp.roll(n, 30 + d, 6) > 0,
  pg_temp.pick(n, 40, array['Asia/Jerusalem', 'UTC', 'EST', 'Nowhere', '']),
  (array[0, null, 15, -5, 1000])[1 + pg_temp.roll(n, 41, 5)], (array[1, null, 0, 7])[1 + pg_temp.roll(n, 42, 4)]
from generate_series(1, pg_temp.size('coaches')) as n, generate_series(0, 4) as d, generate_series(0, 2) as k
where pg_temp.roll(n, 43 + k, 3) > 0;
