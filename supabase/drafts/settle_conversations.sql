-- What was written since conversations were walked: those are looked at again. A transaction's lines are taken together, since a
-- pair is known from both of its people. loom.settle_at_once limits how many transactions; the migration takes all.
do $settle$
declare
  touched uuid[];
  gaps uuid[];
  changed uuid[];
  people uuid[];
begin
  create temporary table loom_settled on commit drop as
  with taken as (
    delete from private.adoption_touched as t
    where t.written_by in (
      select distinct o.written_by from private.adoption_touched as o
      order by o.written_by
      limit nullif(current_setting('loom.settle_at_once', true), '')::integer)
    returning t.conversation_id, t.user_id
  )
  select t.conversation_id, x.session_id, array_agg(t.user_id) filter (where t.user_id is not null) as people
  from taken as t
  left join public.conversation_contexts as x on x.conversation_id = t.conversation_id
  group by t.conversation_id, x.session_id;
  touched := array(select l.conversation_id from loom_settled as l);
  -- In the order of whoever writes a message: the conversation first.
  perform from public.conversations as c where c.id = any (touched) order by c.id for no key update;

  -- A message that was deleted leaves a gap in the numbers. Two phases, since no number may be there twice at any moment.
  gaps := array(
    select c.id from public.conversations as c
    where c.id = any (touched)
      and c.last_seq <> (select count(*) from public.messages as m where m.conversation_id = c.id));
  update public.messages as m set seq = -m.seq where m.conversation_id = any (gaps);
  update public.messages as m set seq = n.seq
  from (
    select o.id, row_number() over (partition by o.conversation_id order by -o.seq) as seq
    from public.messages as o where o.conversation_id = any (gaps)
  ) as n
  where n.id = m.id;
  update public.conversations as c
  set last_seq = (select count(*) from public.messages as m where m.conversation_id = c.id) where c.id = any (gaps);
  -- @step message_reactions_places r.conversation_id = any (touched)
  -- @step message_attachments_places r.conversation_id = any (touched)
  -- @step message_read_receipts_places r.conversation_id = any (touched)
  -- @step participant_roles p.conversation_id = any (touched)
  -- @step participant_positions q.conversation_id = any (touched)

  -- Only what this adoption made.
  delete from public.conversation_contexts as x
  where x.conversation_id = any (touched)
    and x.created_at >= (select d.created_at from private.adoption_decisions as d where d.kind = 'online' and d.key = 'started');
  -- @step conversation_contexts {} = any (touched)

  -- Where a conversation is about another session now, or other people take part, its key is worked out again, and so are those of
  -- the others that are about the same session or of the same two.
  changed := array(
    select l.conversation_id
    from loom_settled as l
    left join public.conversation_contexts as x on x.conversation_id = l.conversation_id
    where l.people is not null or x.session_id is distinct from l.session_id);
  changed := changed || array(
    select x.conversation_id
    from public.conversation_contexts as x
    join loom_settled as l on l.conversation_id = any (changed)
    left join public.conversation_contexts as y on y.conversation_id = l.conversation_id
    where x.session_id in (l.session_id, y.session_id));
  people := array(
    select p.user_id from public.conversation_participants as p where p.conversation_id = any (changed)
    union
    select unnest(l.people) from loom_settled as l);
  changed := changed || array(
    select low.conversation_id
    from public.conversation_participants as low
    join public.conversation_participants as high on high.conversation_id = low.conversation_id and high.user_id > low.user_id
    where low.user_id = any (people) and high.user_id = any (people));
  update public.conversations as c set direct_key = null where c.id = any (changed) and c.direct_key is not null;
  -- @step direct_keys_of_sessions {} = any (changed)
  -- @step direct_keys_of_pairs {} = any (people) and high.user_id = any (people)
  drop table loom_settled;
end;
$settle$;
