-- People who listen: %(people)s of them, in groups of %(size)s. Triggers are off: what they would derive is written as they would have.
set session_replication_role = replica;

create schema if not exists bench;
create or replace function bench.id(kind text, n bigint) returns uuid language sql immutable parallel safe as $$
  select ('00000000-0000-4000-' || kind || '000-' || lpad(to_hex(n), 12, '0'))::uuid
$$;

insert into auth.users (id, email)
select bench.id('8', n), n || '@bench.test' from generate_series(0, %(people)s - 1) n;
insert into public.users (id, email, first_name, last_name)
select bench.id('8', n), n || '@bench.test', 'Person', n::text from generate_series(0, %(people)s - 1) n;

insert into public.conversations (id, type, title, created_by, last_seq, last_message_at)
select bench.id('9', n), 'group', 'Group ' || n, bench.id('8', n * %(size)s), 0, now()
from generate_series(0, %(people)s / %(size)s - 1) n;
insert into public.conversation_participants (conversation_id, user_id, role, last_read_seq)
select bench.id('9', n / %(size)s), bench.id('8', n), 'member', 0
from generate_series(0, %(people)s - 1) n;
