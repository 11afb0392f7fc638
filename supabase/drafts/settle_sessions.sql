-- What was written to sessions and payments since they were walked: what was paid for those sessions is worked out again, with
-- their seats. loom.settle_at_once limits how many transactions; the migration takes all.
do $settle$
declare
  these_sessions uuid[];
  these_payments uuid[];
begin
  with taken as (
    delete from private.adoption_touched_money as t
    where t.written_by in (
      select distinct o.written_by from private.adoption_touched_money as o
      order by o.written_by
      limit nullif(current_setting('loom.settle_at_once', true), '')::integer)
    returning t.session_id, t.payment_id
  )
  select array_agg(distinct t.session_id) filter (where t.session_id is not null),
    array_agg(distinct t.payment_id) filter (where t.payment_id is not null)
  into these_sessions, these_payments
  from taken as t;

  -- Payments that those sessions have, or that name them and were not theirs; and sessions that those payments have now.
  these_payments := array(
    select unnest(these_payments)
    union
    select p.id from public.payments as p where p.session_id = any (these_sessions)
    union
    select d.key::uuid from private.adoption_decisions as d
    where d.kind = 'payments.session' and lower(d.value) = any (these_sessions::text[]));
  these_sessions := array(
    select unnest(these_sessions)
    union
    select p.session_id from public.payments as p where p.id = any (these_payments) and p.session_id is not null);
  delete from private.adoption_decisions as d where d.kind = 'payments.session' and d.key = any (these_payments::text[]);

  -- In the order of an older application that takes a payment: it first, then the session.
  update public.payments as p set session_id = null, practice_id = null
  where p.id = any (these_payments) and (p.session_id is not null or p.practice_id is not null);
  perform private.ensure_practice(u.id)
  from public.users as u where u.role = 'coach' and not exists (select from public.practice_members as m where m.user_id = u.id);
  update public.practices as r set currency = d.value
  from private.adoption_decisions as d
  join public.practice_members as m on m.user_id::text = d.key
  where d.kind = 'coach.currency' and r.id = m.practice_id and r.created_at = now();
  -- @step payments_session {} = any (these_payments)
  these_sessions := array(
    select unnest(these_sessions)
    union
    select p.session_id from public.payments as p where p.id = any (these_payments) and p.session_id is not null);

  delete from public.session_attendees as a where a.session_id = any (these_sessions);
  delete from private.adoption_decisions as d where d.kind = 'sessions.unbilled' and d.key = any (these_sessions::text[]);
  -- What a session that was made by hand says of its price stays.
  update public.sessions as s
  set
    billing_status = 'unbilled',
    timezone = coalesce((select u.timezone from public.users as u where u.id = s.coach_id), 'UTC'),
    price_cents = case when by_hand.here then s.price_cents end,
    currency = coalesce(
      (select d.value from private.adoption_decisions as d where d.kind = 'coach.currency' and d.key = s.coach_id::text),
      case when by_hand.here then s.currency else 'ILS' end)
  from (
    select exists (select from private.adoption_decisions where kind = 'online' and key = 'priced') as here
  ) as by_hand
  where s.id = any (these_sessions);
  -- @step sessions_paid {} = any (these_sessions)
  -- @step payments_unlinked {} = any (these_payments)
  -- @step sessions_unbilled {} = any (these_sessions)
  -- @step session_attendees {} = any (these_sessions)
end;
$settle$;
