create or replace view private.live_readers with (security_invoker = true) as
select e.id || '/' || r.user_id as row_key, e.xid, e.id, r.user_id
from public.live_events as e
cross join lateral (
  select c.user_id
  from private.conversation_readers as c
  where e.scope = 'conversation'
    and c.conversation_id = e.conversation_id
    and coalesce(e.message_seq, c.history_from_seq) >= c.history_from_seq
    -- Who hides their own reading sees nobody's.
    and (
      e.kind <> 'conversation.read'
      or c.is_admin
      or c.user_id = e.user_id
      or not exists (
        select
        from public.messaging_preferences as x
        where x.user_id in (e.user_id, c.user_id) and not x.share_receipts
      )
    )
  union
  select u.id
  from public.users as u
  where e.scope = 'person' and u.id = e.user_id and u.status = 'active'
  union
  select u.id
  from public.sessions as s
  join public.users as u on u.id in (s.coach_id, s.client_id) and u.status = 'active'
  where e.scope = 'session' and s.id = e.session_id
  union
  select u.id
  from public.session_attendees as a
  join public.users as u on u.id = a.user_id and u.status = 'active'
  where e.scope = 'session' and a.session_id = e.session_id and a.role <> 'coach' and a.cancelled_at is null
  union
  select u.id
  from public.invoices as i
  join public.users as u on u.id = i.user_id and u.status = 'active'
  where e.scope = 'invoice' and i.id = e.invoice_id and i.finalized_at is not null
  union
  select u.id
  from public.practice_members as m
  join public.users as u on u.id = m.user_id and u.status = 'active'
  where e.scope = 'invoice' and m.practice_id = e.practice_id
  union
  select u.id
  from public.users as u
  where e.scope in ('session', 'invoice') and u.role = 'admin' and u.status = 'active'
) as r;
comment on view private.live_readers is
  'Whom each event is for, now: what the policies of public.live_feed say, for everybody at once. Tests compare the two.';

revoke all on private.live_readers from public, anon, authenticated, service_role;
