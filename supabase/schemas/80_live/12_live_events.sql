-- What has changed, in the order of transactions, without what it says: that is read from the tables when somebody asks, under
-- their policies. Without foreign keys: a line about what is gone tells nobody anything, and writing one must cost little.
create table if not exists public.live_events (
  xid xid8 not null default pg_current_xact_id(),
  id bigint not null generated always as identity,
  kind text not null,
  scope text not null,
  conversation_id uuid,
  message_seq bigint,
  message_id uuid,
  session_id uuid,
  invoice_id uuid,
  notification_id uuid,
  user_id uuid,
  coach_id uuid,
  practice_id uuid,
  detail jsonb not null default '{}',
  created_at timestamptz not null default clock_timestamp(),
  primary key (xid, id),
  constraint live_events_scope_check check (
    case scope
      when 'conversation' then conversation_id is not null
      when 'session' then session_id is not null
      when 'invoice' then invoice_id is not null
      when 'person' then user_id is not null
      else false
    end
  )
);
comment on table public.live_events is
  'That something changed, for the live streams: written by triggers in the transaction of the change, kept for some days. Read it through public.live_feed.';
comment on column public.live_events.xid is
  'The transaction. Readers take what is below the oldest transaction still open, in the order (xid, id): an id alone may commit after a greater one, and would be passed over.';
comment on column public.live_events.scope is
  'Whose business it is: the readers of a conversation, of a session, of an invoice, or one person alone (user_id).';
comment on column public.live_events.message_seq is 'For what belongs to a message: hidden from those whose history begins after it.';
comment on column public.live_events.user_id is
  'The one person of scope person; the client of a session; the payer of an issued invoice; in a conversation whom it is about.';
comment on column public.live_events.detail is 'The little that cannot be read later, such as the emoji that was taken back.';

-- Many rows of one session or invoice change in one transaction: that is one piece of news.
create unique index if not exists live_events_session_once on public.live_events (xid, session_id) where scope = 'session';
create unique index if not exists live_events_invoice_once on public.live_events (xid, invoice_id) where scope = 'invoice';

revoke all on public.live_events from public, anon, authenticated, service_role;
grant select on public.live_events to authenticated, service_role;
revoke all on sequence public.live_events_id_seq from public, anon, authenticated, service_role;
alter table public.live_events enable row level security;

drop policy if exists live_events_select_entitled on public.live_events;
create policy live_events_select_entitled on public.live_events for select to authenticated
using (
  case scope
    when 'conversation' then
      conversation_id = any ((select private.my_readable_conversation_ids())::uuid[])
      and (
        message_seq is null
        or message_seq >= coalesce(((select private.my_history_limits()) ->> conversation_id::text)::bigint, 1)
      )
      and (
        kind <> 'conversation.read'
        or user_id = (select private.me())
        or user_id <> all ((select private.hidden_reader_ids())::uuid[])
      )
    when 'session' then
      coach_id = (select private.me())
      or user_id = (select private.me())
      or session_id = any ((select private.my_seat_session_ids())::uuid[])
      or (select private.i_am_admin())
    when 'invoice' then
      user_id = (select private.me())
      or practice_id = any ((select private.my_practice_ids())::uuid[])
      or (select private.i_am_admin())
    when 'person' then user_id = (select private.me())
  end
);
comment on policy live_events_select_entitled on public.live_events is
  'Who may read what an event is about, now: left a conversation, and its events of the past are gone too.';
