-- Conversations: most between a coach and a client, a tenth of them twice; groups; people who left, and who never came.
insert into public.conversations (id, type, title, created_by, is_archived, last_message_at, created_at)
select
  pg_temp.uid('conversation', n), case pg_temp.roll(n, 120, 5) when 0 then 'group' else 'direct' end::public.conversation_type,
  pg_temp.pick(n, 121, array[null, '', 'קבוצה']), pg_temp.uid('person', pg_temp.coach_of_conversation(n)),
  pg_temp.roll(n, 122, 10) = 0, case pg_temp.roll(n, 123, 10) when 0 then null else pg_temp.today() end,
  case pg_temp.roll(n, 124, 10) when 0 then null else pg_temp.today() - interval '2 years' end
from generate_series(1, pg_temp.size('conversations')) as n;
-- The same two people again.
insert into public.conversations (id, type, created_by)
select pg_temp.uid('double', n), 'direct', pg_temp.uid('person', pg_temp.client_of_conversation(n))
from generate_series(10, pg_temp.size('conversations'), 10) as n;

insert into public.conversation_participants (conversation_id, user_id, role, left_at, last_read_at, created_at)
select distinct on (conversation, person)
  conversation, pg_temp.uid('person', person), pg_temp.pick(n, 125, array['member', 'member', 'member', null, 'admin', 'coach', 'בעלים']),
  case pg_temp.roll(n + place, 126, 20) when 0 then pg_temp.today() - interval '1 day' end,
  case pg_temp.roll(n + place, 127, 10) when 0 then null else pg_temp.today() - make_interval(days => pg_temp.roll(n + place, 128, 700)) end,
  case pg_temp.roll(n, 129, 10) when 0 then null else pg_temp.today() end
from (
  select n::bigint, pg_temp.uid('conversation', n) as conversation, pg_temp.coach_of_conversation(n) as person, 0 as place
  from generate_series(1, pg_temp.size('conversations')) as n
  union all
  select n::bigint, pg_temp.uid('conversation', n), pg_temp.client_of_conversation(n), 1
  from generate_series(1, pg_temp.size('conversations')) as n
  where pg_temp.roll(n, 130, 50) > 0
  union all
  select n::bigint, pg_temp.uid('conversation', n), pg_temp.client(pg_temp.client_of_conversation(n) + k), 1 + k
  from generate_series(1, pg_temp.size('conversations')) as n, generate_series(1, 3) as k
  where pg_temp.roll(n, 120, 5) = 0
  union all
  select n::bigint, pg_temp.uid('double', n), person, 1
  from generate_series(10, pg_temp.size('conversations'), 10) as n,
    lateral (values (pg_temp.coach_of_conversation(n)), (pg_temp.client_of_conversation(n))) as both_of (person)
) as people
order by conversation, person, place;

insert into public.messages (
  id, conversation_id, sender_id, reply_to_id, type, content, metadata, status, is_edited, created_at, updated_at, is_archived)
select
  pg_temp.uid('message', n), pg_temp.uid('conversation', c),
  pg_temp.uid('person', case pg_temp.roll(n, 140, 50)
    when 0 then pg_temp.client(n) -- who is in none of it
    else case pg_temp.roll(n, 141, 2) when 0 then pg_temp.coach_of_conversation(c) else pg_temp.client_of_conversation(c) end
  end),
  -- Most such answers point into another conversation.
  case when n > 1 and pg_temp.roll(n, 142, 20) = 0 then pg_temp.uid('message', n - 1) end,
  pg_temp.pick(n, 143, array['text', 'text', 'text', 'file', 'system'])::public.message_type,
  case pg_temp.roll(n, 144, 1000) when 0 then repeat('word ', 5000)
    else pg_temp.pick(n, 145, array['Hello', 'שלום לך', null, '', U&'\200B\200B', U&'\05E9\200F\05DC', '<b>no</b>']) end,
  pg_temp.pick(n, 146, array[null, '{}', '{}', '[]', '"x"', 'null', '{"client": "old"}'])::jsonb,
  pg_temp.pick(n, 147, array['sent', 'delivered', 'read'])::public.message_status, pg_temp.roll(n, 148, 10) = 0,
  case pg_temp.roll(n, 149, 50) when 0 then null else pg_temp.today() - make_interval(mins => pg_temp.roll(n, 150, 1000000)) end,
  case pg_temp.roll(n, 151, 50) when 0 then null else pg_temp.today() end,
  case pg_temp.roll(n, 152, 10) when 0 then null else pg_temp.roll(n, 152, 10) = 1 end
from (
  select n::bigint, 1 + pg_temp.roll(n, 153, pg_temp.size('conversations'))::bigint as c
  from generate_series(1, pg_temp.size('messages')) as n
) as numbered;

-- In some, all that was said names one session of the two; in others of those, one message does not.
update public.messages as m
set metadata = jsonb_build_object(case mod(about.n, 3) when 0 then 'session_id' else 'sessionId' end, about.session_id)
from (
  select n, pg_temp.uid('conversation', n) as id, (
    select min(s.id::text) from public.sessions as s
    where s.coach_id = pg_temp.uid('person', pg_temp.coach_of_conversation(n))
      and s.client_id = pg_temp.uid('person', pg_temp.client_of_conversation(n))) as session_id
  from generate_series(4, pg_temp.size('conversations'), 4) as n
) as about
where m.conversation_id = about.id and about.session_id is not null
  and (mod(about.n, 8) = 0 or m.id <> (
    select (array_agg(f.id order by f.id))[1] from public.messages as f where f.conversation_id = about.id));

insert into public.message_read_receipts (message_id, user_id, read_at)
select m.id, p.user_id, case pg_temp.roll(n, 160, 10) when 0 then null else pg_temp.today() end
from generate_series(5, pg_temp.size('messages'), 5) as n
join public.messages as m on m.id = pg_temp.uid('message', n)
join public.conversation_participants as p on p.conversation_id = m.conversation_id and p.user_id <> m.sender_id;
insert into public.message_reactions (message_id, user_id, emoji, created_at)
select m.id, p.user_id, pg_temp.pick(n, 161, array['👍', 'like', '', repeat('!', 40)]),
  case pg_temp.roll(n, 162, 10) when 0 then null else pg_temp.today() end
from generate_series(10, pg_temp.size('messages'), 10) as n
join public.messages as m on m.id = pg_temp.uid('message', n)
join public.conversation_participants as p on p.conversation_id = m.conversation_id;
insert into public.message_attachments (message_id, file_name, file_size, file_type, url, metadata, created_at)
select
  pg_temp.uid('message', n), pg_temp.pick(n, 163, array['a.png', 'קובץ.pdf', '']), (array[0, -1, 5000])[1 + pg_temp.roll(n, 164, 3)],
  pg_temp.pick(n, 165, array['image/png', '']), pg_temp.pick(n, 166, array['https://files.example.test/a', '']),
  pg_temp.pick(n, 167, array['{}', null, '[]'])::jsonb, case pg_temp.roll(n, 168, 10) when 0 then null else pg_temp.today() end
from generate_series(20, pg_temp.size('messages'), 20) as n;
insert into public.message_analytics_events (event_type, message_id, conversation_id, user_id)
select 'sent', m.id, m.conversation_id, m.sender_id
from generate_series(10, pg_temp.size('messages'), 10) as n
join public.messages as m on m.id = pg_temp.uid('message', n);
insert into public.typing_indicators (conversation_id, user_id, expires_at)
select p.conversation_id, p.user_id, case pg_temp.roll(n, 169, 2) when 0 then null else pg_temp.today() end
from generate_series(50, pg_temp.size('conversations'), 50) as n
join public.conversation_participants as p on p.conversation_id = pg_temp.uid('conversation', n);

insert into public.notifications (id, user_id, type, title, message, data, read_at, created_at, channel, priority)
select
  pg_temp.uid('notification', n), pg_temp.uid('person', 1 + pg_temp.roll(n, 170, pg_temp.size('people'))), 'new_message', '', 'הודעה',
  pg_temp.pick(n, 171, array[null, '{}', '[]', '"x"'])::jsonb, case pg_temp.roll(n, 172, 2) when 0 then pg_temp.today() end,
  case pg_temp.roll(n, 173, 10) when 0 then null else pg_temp.today() end, pg_temp.pick(n, 174, array['inapp', 'email', 'push', null]),
  pg_temp.pick(n, 175, array['normal', 'urgent', null])
from generate_series(10, pg_temp.size('messages'), 10) as n;
insert into public.notification_delivery_logs (notification_id, channel, status)
select pg_temp.uid('notification', n), 'email', pg_temp.pick(n, 176, array['sent', 'bounced', 'pending'])
from generate_series(20, pg_temp.size('messages'), 20) as n;
