-- Conversations to read. %(conversations)s of them, ten people and %(length)s messages in each, a thousand people in all.
-- Triggers are off: what they would derive is written as they would have.
set session_replication_role = replica;

create schema bench;
create function bench.id(kind text, n bigint) returns uuid language sql immutable parallel safe as $$
  select ('00000000-0000-4000-' || kind || '000-' || lpad(to_hex(n), 12, '0'))::uuid
$$;

insert into auth.users (id, email)
select bench.id('8', n), n || '@bench.test' from generate_series(0, 999) n;
insert into public.users (id, email, first_name, last_name)
select bench.id('8', n), n || '@bench.test', 'Person', n::text from generate_series(0, 999) n;

insert into public.conversations (id, type, title, created_by, last_seq, last_message_at)
select bench.id('9', n), 'group', 'Group ' || n, bench.id('8', n * 10 %% 1000), %(length)s, now() - n * interval '1 second'
from generate_series(0, %(conversations)s - 1) n;
insert into public.conversation_participants (conversation_id, user_id, role, last_read_seq)
select bench.id('9', n), bench.id('8', (n * 10 + p) %% 1000), 'member', %(length)s - 5
from generate_series(0, %(conversations)s - 1) n, generate_series(0, 9) p;

insert into public.messages (id, conversation_id, sender_id, content, seq, created_at)
select
  bench.id('a', n), bench.id('9', n %% %(conversations)s),
  bench.id('8', (n %% %(conversations)s * 10 + n / 7 %% 10) %% 1000),
  'Message number ' || n || ', as long as people write them on most days.', n / %(conversations)s + 1,
  now() - interval '100 days' + n * interval '1 second'
from generate_series(0, %(conversations)s * %(length)s - 1) n;
