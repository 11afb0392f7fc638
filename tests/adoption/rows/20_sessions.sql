-- Sessions of years, at one another's time where they are past; a tenth lies ahead, each coach's an hour apart.
insert into public.sessions (
  id, coach_id, client_id, title, description, scheduled_at, duration_minutes, status, meeting_url, notes, created_at, updated_at)
select
  pg_temp.uid('session', n), pg_temp.uid('person', pg_temp.coach_of_session(n)),
  pg_temp.uid('person', pg_temp.client_of_session(n)),
  pg_temp.pick(n, 60, array['Coaching', 'פגישה', '', ' ', U&'\200B', U&'\200F\05E9\05D9\05D7\05D4', repeat('long ', 100)]),
  pg_temp.pick(n, 61, array[null, '', 'What we spoke of']),
  case
    when ahead then pg_temp.today() + interval '2 days' + make_interval(hours => (
      n / pg_temp.size('coaches')
      - case when pg_temp.size('overlaps') = 1 and pg_temp.roll(n, 62, 10) = 0 then pg_temp.size('coaches') else 0 end
    )::integer)
    else pg_temp.today() - make_interval(days => days) + make_interval(mins => 360 + 15 * pg_temp.roll(n, 63, 64))
  end,
  case
    when ahead then (array[30, 45, 60])[1 + pg_temp.roll(n, 64, 3)]
    when days > 200 and pg_temp.roll(n, 65, 100) = 0 then 100000
    else (array[1, 15, 45, 60, 60, 60, 90, 480, 1440])[1 + pg_temp.roll(n, 66, 9)]
  end,
  case
    when ahead then pg_temp.pick(n, 67, array['scheduled', 'scheduled', 'scheduled', 'cancelled', 'rescheduled'])
    else pg_temp.pick(n, 68, array['completed', 'completed', 'completed', 'scheduled', 'in_progress', 'cancelled', 'no_show', 'rescheduled'])
  end::public.session_status,
  pg_temp.pick(n, 69, array[null, '', 'https://meet.example.test/x', 'not an address']),
  pg_temp.pick(n, 70, array[null, 'Brought the journal', 'הערות']),
  case pg_temp.roll(n, 71, 10) when 0 then null else pg_temp.today() - make_interval(days => days + 10) end,
  case pg_temp.roll(n, 72, 10) when 0 then null else pg_temp.today() - make_interval(days => days) end
from (
  select n::bigint, pg_temp.roll(n, 73, 10) = 0 as ahead, 2 + pg_temp.roll(n, 74, 1500) as days
  from generate_series(1, pg_temp.size('sessions')) as n
) as numbered;

-- Two ahead at once, which only people can settle.
insert into public.sessions (coach_id, client_id, title, scheduled_at, status)
select s.coach_id, s.client_id, 'At the same time', s.scheduled_at + interval '10 minutes', 'scheduled'
from public.sessions as s
where s.id in (select pg_temp.uid('session', n) from generate_series(1, pg_temp.size('sessions') * pg_temp.size('overlaps')) as n)
  and s.status = 'scheduled' and s.scheduled_at > pg_temp.today()
order by s.id
limit 3;

insert into public.coach_notes (coach_id, client_id, session_id, title, content, privacy_level, tags, created_at)
select
  pg_temp.uid('person', pg_temp.coach_of_session(n)), pg_temp.uid('person', pg_temp.client_of_session(n)),
  case pg_temp.roll(n, 80, 4) when 0 then null else pg_temp.uid('session', n) end, 'Note', 'For myself',
  pg_temp.pick(n, 81, array['private', 'private', 'shared_with_client'])::public.privacy_level,
  case pg_temp.roll(n, 82, 3) when 0 then null when 1 then array[null, ''] else array['goal'] end,
  case pg_temp.roll(n, 83, 10) when 0 then null else pg_temp.today() end
from generate_series(10, pg_temp.size('sessions'), 10) as n;

insert into public.reflections (client_id, session_id, content, mood_rating, insights, created_at)
select
  pg_temp.uid('person', pg_temp.client_of_session(n)),
  case pg_temp.roll(n, 84, 3) when 0 then null else pg_temp.uid('session', n) end, 'What I take with me',
  nullif(pg_temp.roll(n, 85, 11), 0), pg_temp.pick(n, 86, array[null, '']),
  case pg_temp.roll(n, 87, 10) when 0 then null else pg_temp.today() end
from generate_series(10, pg_temp.size('sessions'), 10) as n;

insert into public.session_ratings (session_id, coach_id, client_id, rating)
select pg_temp.uid('session', n), pg_temp.uid('person', pg_temp.coach_of_session(n)),
  pg_temp.uid('person', pg_temp.client_of_session(n)), 1 + pg_temp.roll(n, 88, 5)
from generate_series(20, pg_temp.size('sessions'), 20) as n;
insert into public.session_feedback (session_id, coach_id, client_id, overall_rating)
select pg_temp.uid('session', n), pg_temp.uid('person', pg_temp.coach_of_session(n)),
  pg_temp.uid('person', pg_temp.client_of_session(n)), 1 + pg_temp.roll(n, 89, 5)
from generate_series(20, pg_temp.size('sessions'), 20) as n;

insert into public.file_uploads (id, user_id, session_id, filename, original_filename, storage_path, file_type, file_size, bucket_name)
select
  pg_temp.uid('file', n), pg_temp.uid('person', pg_temp.coach_of_session(n)),
  case pg_temp.roll(n, 90, 2) when 0 then pg_temp.uid('session', n) end, 'a.pdf', 'קובץ.pdf', format('%s/a.pdf', n),
  'application/pdf', 1000, 'session-files'
from generate_series(20, pg_temp.size('sessions'), 20) as n;
insert into public.file_shares (file_id, shared_by, shared_with)
select pg_temp.uid('file', n), pg_temp.uid('person', pg_temp.coach_of_session(n)), pg_temp.uid('person', pg_temp.client_of_session(n))
from generate_series(40, pg_temp.size('sessions'), 40) as n;
insert into public.session_files (session_id, file_id, uploaded_by)
select pg_temp.uid('session', n), pg_temp.uid('file', n), pg_temp.uid('person', pg_temp.coach_of_session(n))
from generate_series(60, pg_temp.size('sessions'), 60) as n;

insert into public.session_requests (coach_id, client_id, requested_by, session_id, scheduled_at, duration_minutes, status, notes)
select
  pg_temp.uid('person', pg_temp.coach_of_session(n)), pg_temp.uid('person', pg_temp.client_of_session(n)),
  pg_temp.uid('person', pg_temp.client_of_session(n)), case pg_temp.roll(n, 91, 2) when 0 then pg_temp.uid('session', n) end,
  pg_temp.today() - interval '300 days', 60,
  pg_temp.pick(n, 92, array['pending', 'approved', 'declined'])::public.session_request_status, 'in confidence'
from generate_series(20, pg_temp.size('sessions'), 20) as n;
