-- What can become of conversations while they are brought along. Each statement is a transaction of its own, changes something, and
-- does the same in every copy of a database: what it picks, it picks by ids, from what the older application wrote.

create function pg_temp.people(talk uuid) returns uuid[] language sql stable as $$
  select array_agg(p.user_id order by p.user_id) from public.conversation_participants as p where p.conversation_id = talk
$$;
create function pg_temp.talks(way text) returns table (id uuid, session_id uuid, coach_id uuid, client_id uuid, number bigint)
language sql stable as $$
  -- Direct ones of a session's two people, where all messages name it, or all but one.
  select c.id, s.id, s.coach_id, s.client_id, row_number() over (order by c.id)
  from (
    select m.conversation_id, count(*) - count(l.link) as silent, count(distinct l.link) as links, min(l.link) as link
    from public.messages as m
    cross join lateral (select coalesce(m.metadata ->> 'session_id', m.metadata ->> 'sessionId') as link) as l
    group by m.conversation_id
  ) as n
  join public.conversations as c on c.id = n.conversation_id and c.type = 'direct'
  join public.sessions as s on s.id = n.link::uuid
  where n.links = 1 and n.silent = case way when 'about' then 0 else 1 end
    and pg_temp.people(c.id) = array[least(s.coach_id, s.client_id), greatest(s.coach_id, s.client_id)]
$$;
create function pg_temp.pairs() returns table (id uuid, one uuid, other uuid, times bigint, number bigint) language sql stable as $$
  -- Direct ones of two people; how many the two have.
  select c.id, p.people[1], p.people[2], count(*) over (partition by p.people), row_number() over (order by c.id)
  from public.conversations as c
  cross join lateral (select pg_temp.people(c.id) as people) as p
  where c.type = 'direct' and cardinality(p.people) = 2
    and not exists (select from public.conversation_participants as x where x.conversation_id = c.id and x.left_at is not null)
$$;

insert into public.messages (id, conversation_id, sender_id, type, content)
select md5('else ' || t.id)::uuid, t.id, t.coach_id, 'text', 'and of something else' from pg_temp.talks('about') as t where t.number = 1;
delete from public.messages as m using pg_temp.talks('nearly') as t
where t.number = 1 and m.conversation_id = t.id and coalesce(m.metadata ->> 'session_id', m.metadata ->> 'sessionId') is null;
update public.messages as m set metadata = jsonb_build_object('session_id', (
  select s.id from public.sessions as s where s.coach_id = t.coach_id and s.client_id = t.client_id and s.id <> t.session_id order by s.id limit 1))
from pg_temp.talks('about') as t where t.number = 2 and m.conversation_id = t.id;

-- Somebody reads, somebody answers what they read, one is deleted in the middle, and another conversation loses all of them.
update public.conversation_participants as x set last_read_at = now()
from (select p.* from pg_temp.pairs() as p order by p.number limit 3) as p where x.conversation_id = p.id and x.user_id = p.one;
insert into public.messages (id, conversation_id, sender_id, type, content)
select md5('answer ' || p.id)::uuid, p.id, p.one, 'text', 'an answer' from pg_temp.pairs() as p order by p.number limit 3;
delete from public.messages as m
using (select p.* from pg_temp.pairs() as p order by p.number limit 1) as p
where m.id = (
  select x.id from public.messages as x where x.conversation_id = p.id order by x.created_at, x.id offset 1 limit 1);
delete from public.messages as m
using (select p.* from pg_temp.pairs() as p order by p.number offset 1 limit 1) as p where m.conversation_id = p.id;

-- A second one about the same session, made in two steps.
insert into public.conversations (id, type, created_by)
select md5('second about')::uuid, 'direct', t.coach_id from pg_temp.talks('about') as t where t.number = 3;
with told as (
  insert into public.messages (id, conversation_id, sender_id, type, content, metadata)
  select md5('told')::uuid, md5('second about')::uuid, t.coach_id, 'text', 'about it', jsonb_build_object('sessionId', t.session_id)
  from pg_temp.talks('about') as t where t.number = 3
)
insert into public.conversation_participants (conversation_id, user_id)
select md5('second about')::uuid, person
from pg_temp.talks('about') as t, lateral (values (t.coach_id), (t.client_id)) as both_of (person) where t.number = 3;

delete from public.sessions as s using pg_temp.talks('about') as t where t.number = 4 and s.id = t.session_id;
-- The old check refuses any change of a session that is over.
alter table public.sessions drop constraint if exists sessions_future_or_current;
update public.sessions as s set client_id = (select u.id from public.users as u where u.role = 'client' and u.id <> s.client_id order by u.id limit 1)
from pg_temp.talks('about') as t where t.number = 4 and s.id = t.session_id;

-- Of the same two again, and of two who had none.
with talk as (
  insert into public.conversations (id, type, created_by)
  select md5('again')::uuid, 'direct', p.one from pg_temp.pairs() as p where p.times = 1 order by p.number limit 1
)
insert into public.conversation_participants (conversation_id, user_id)
select md5('again')::uuid, person
from (select * from pg_temp.pairs() as p where p.times = 1 order by p.number limit 1) as p,
  lateral (values (p.one), (p.other)) as both_of (person);
with two as (
  select array_agg(u.id order by u.id) as people from (select u.id from public.users as u where u.role = 'coach' order by u.id limit 2) as u
), talk as (
  insert into public.conversations (id, type, created_by) select md5('first')::uuid, 'direct', people[1] from two
)
insert into public.conversation_participants (conversation_id, user_id) select md5('first')::uuid, unnest(people) from two;

-- One of two goes, and the other is the only one.
delete from public.conversations as c
using (select p.id from pg_temp.pairs() as p where p.times = 2 order by p.number limit 1) as p where c.id = p.id;
update public.conversation_participants as x set left_at = now()
from (select p.* from pg_temp.pairs() as p where p.times = 1 order by p.number desc limit 1) as p
where x.conversation_id = p.id and x.user_id = p.one;
delete from public.conversation_participants as x
using (select p.* from pg_temp.pairs() as p where p.times = 2 order by p.number desc limit 1) as p
where x.conversation_id = p.id and x.user_id = p.other;
insert into public.conversation_participants (conversation_id, user_id)
select p.id, (select u.id from public.users as u where u.id not in (p.one, p.other) order by u.id limit 1)
from (select p.* from pg_temp.pairs() as p where p.times = 2 order by p.number limit 1) as p;
update public.conversations as c set type = 'group'
from (select p.id from pg_temp.pairs() as p where p.times = 2 order by p.number limit 1) as p where c.id = p.id;
update public.conversations as c set type = 'direct'
from (select g.id from public.conversations as g where g.type = 'group' and cardinality(pg_temp.people(g.id)) = 2 order by g.id limit 1) as g
where c.id = g.id;
