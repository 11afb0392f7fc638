create or replace function private.lease_deliveries(p_batch integer, p_lease_seconds float8, p_mail_after_seconds float8)
returns table (id uuid, attempt integer)
language plpgsql
volatile
security invoker
set search_path = ''
as $$
begin
  -- Messages that wait for one person in one conversation go out as one mail. Two workers must not each take half of them,
  -- nor add to a mail that the other has just written: they gather in turn, and each sees what the one before committed.
  perform pg_advisory_xact_lock(hashtextextended('loom.message_mail', 0));
  return query
  with due as (
    select d.id, d.mail_id
    from public.message_deliveries as d
    where d.state in ('pending', 'leased') and (d.channel = 'push' or d.mail_id is not null) and d.next_attempt_at <= now()
    order by d.next_attempt_at
    limit p_batch
  ),
  waiting as (
    select d.recipient_id, d.conversation_id
    from public.message_deliveries as d
    where d.state = 'pending' and d.channel = 'email' and d.mail_id is null
      and d.next_attempt_at <= now() - make_interval(secs => p_mail_after_seconds)
    order by d.next_attempt_at
    limit p_batch
  ),
  parcels as (
    -- A mail that was begun keeps its messages; what has come since gets a mail of its own.
    select m.mail_id as parcel, array_agg(m.id) as members, max(m.attempts) + 1 as attempt
    from (select distinct x.mail_id from due as x where x.mail_id is not null) as begun
    join public.message_deliveries as m on m.mail_id = begun.mail_id and m.state in ('pending', 'leased')
    group by m.mail_id
    union all
    select x.id, array[x.id], d.attempts + 1
    from due as x
    join public.message_deliveries as d on d.id = x.id
    where x.mail_id is null
    union all
    select (array_agg(m.id order by m.message_seq))[1], array_agg(m.id), max(m.attempts) + 1
    from (select distinct w.recipient_id, w.conversation_id from waiting as w) as w
    join public.message_deliveries as m
      on m.recipient_id = w.recipient_id and m.conversation_id = w.conversation_id
      and m.state = 'pending' and m.channel = 'email' and m.mail_id is null
    group by m.recipient_id, m.conversation_id
  ),
  taken as (
    update public.message_deliveries as d
    set
      state = 'leased', attempts = p.attempt, mail_id = case when d.channel = 'email' then p.parcel end,
      lease_until = now() + make_interval(secs => p_lease_seconds),
      next_attempt_at = now() + make_interval(secs => p_lease_seconds)
    from parcels as p
    where d.id = any (p.members) and d.state in ('pending', 'leased')
    returning p.parcel, d.attempts
  )
  select distinct t.parcel, t.attempts from taken as t;
end;
$$;
comment on function private.lease_deliveries(integer, float8, float8) is
  'Takes what is due, other workers'' expired leases included: a push by itself, mail by person and conversation once its first message has waited so long. Gives the first delivery of each and the number of the attempt.';
revoke execute on function private.lease_deliveries(integer, float8, float8) from public, anon, authenticated, service_role;
grant execute on function private.lease_deliveries(integer, float8, float8) to service_role;
