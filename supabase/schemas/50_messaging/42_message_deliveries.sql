create table if not exists public.message_deliveries (
  id uuid primary key default gen_random_uuid(),
  message_id uuid not null references public.messages (id) on delete cascade,
  recipient_id uuid not null references public.users (id) on delete cascade,
  channel public.message_delivery_channel not null,
  state text not null default 'pending',
  reason text,
  attempts integer not null default 0,
  next_attempt_at timestamptz,
  lease_until timestamptz,
  provider_id text,
  sent_at timestamptz,
  error_message text,
  metadata jsonb not null default '{}',
  created_at timestamptz not null default now(),
  updated_at timestamptz not null default now(),
  conversation_id uuid not null,
  message_seq bigint not null,
  sender_id uuid not null,
  mail_id uuid,
  constraint message_deliveries_once_key unique (message_id, recipient_id, channel),
  constraint message_deliveries_state_check check (state in ('pending', 'leased', 'sent', 'failed', 'suppressed')),
  constraint message_deliveries_due_check check ((state in ('pending', 'leased')) = (next_attempt_at is not null)),
  constraint message_deliveries_lease_check check ((state = 'leased') = (lease_until is not null)),
  constraint message_deliveries_sent_check check ((state = 'sent') = (sent_at is not null)),
  constraint message_deliveries_reason_check check (state not in ('failed', 'suppressed') or reason is not null),
  constraint message_deliveries_mail_check check (mail_id is null or channel = 'email'),
  constraint message_deliveries_attempts_check check (attempts >= 0),
  constraint message_deliveries_metadata_check check (jsonb_typeof(metadata) = 'object')
);
comment on table public.message_deliveries is
  'Whether a message reached one person on one channel, and if not, why. The open rows are the worker''s queue.';
comment on column public.message_deliveries.state is
  'pending: waits for next_attempt_at; leased: a worker is at it until lease_until; sent, failed and suppressed are final.';
comment on column public.message_deliveries.reason is
  'Why it failed or was never tried: inactive, system_message, no_email, address_suppressed, no_subscription, muted, preference_off, read, deleted, left, withheld (a choice of somebody who does not share receipts), subscription_gone, bounced, address_refused, or the provider''s word. On a pending row: why it waits, such as quiet_hours.';
comment on column public.message_deliveries.next_attempt_at is 'When a worker takes it: the next try of a pending row, the end of the lease of a leased one.';
comment on column public.message_deliveries.attempts is 'How often a worker has taken it; also the number that an outcome must name to count.';
comment on column public.message_deliveries.provider_id is 'What the provider called it. A repeated e-mail carries the same Message-ID, made of mail_id.';
comment on column public.message_deliveries.mail_id is
  'The mail that told of it: the first delivery in that mail. Set when a worker first gathers what waits in a conversation, and kept, so that a repetition is the same mail.';

create index if not exists message_deliveries_recipient_idx on public.message_deliveries (recipient_id);
-- For rates over a span of time; rows come in the order of their times, so a few pages of index will do.
create index if not exists message_deliveries_time_idx on public.message_deliveries using brin (created_at);
-- The queue, in two parts: mail that nobody has gathered yet waits longer than what is sent as it is.
create index if not exists message_deliveries_due_idx
  on public.message_deliveries (next_attempt_at) where state in ('pending', 'leased') and (channel = 'push' or mail_id is not null);
create index if not exists message_deliveries_ungathered_idx
  on public.message_deliveries (next_attempt_at) where state = 'pending' and channel = 'email' and mail_id is null;
create index if not exists message_deliveries_together_idx
  on public.message_deliveries (recipient_id, conversation_id) where state = 'pending' and channel = 'email' and mail_id is null;
create index if not exists message_deliveries_mail_idx on public.message_deliveries (mail_id) where mail_id is not null;

revoke all on public.message_deliveries from public, anon, authenticated, service_role;
grant select on public.message_deliveries to authenticated;
grant select, insert, update on public.message_deliveries to service_role;
alter table public.message_deliveries enable row level security;

drop policy if exists message_deliveries_select_people on public.message_deliveries;
create policy message_deliveries_select_people on public.message_deliveries for select to authenticated
using (
  conversation_id = any ((select private.my_readable_conversation_ids())::uuid[])
  and (
    sender_id = (select private.me())
    or recipient_id = (select private.me())
    or conversation_id = any ((select private.my_led_conversation_ids())::uuid[])
    or (select private.i_am_admin())
  )
);
comment on policy message_deliveries_select_people on public.message_deliveries is
  'The sender, the recipient for themselves, the coach in the conversation and an admin.';

drop trigger if exists message_deliveries_place on public.message_deliveries;
create trigger message_deliveries_place before insert on public.message_deliveries
for each row execute function private.place_delivery();
drop trigger if exists message_deliveries_touch on public.message_deliveries;
create trigger message_deliveries_touch before update on public.message_deliveries
for each row execute function private.touch_updated_at();
