create table if not exists public.messages (
  id uuid not null default gen_random_uuid() primary key,
  conversation_id uuid not null references public.conversations (id) on delete cascade,
  sender_id uuid not null references public.users (id) on delete cascade,
  reply_to_id uuid references public.messages (id) on delete set null,
  type public.message_type not null default 'text',
  content text,
  metadata jsonb not null default '{}',
  status public.message_status not null default 'sent',
  is_edited boolean not null default false,
  edited_at timestamptz,
  delivered_at timestamptz,
  created_at timestamptz not null default now(),
  updated_at timestamptz not null default now(),
  is_archived boolean default false,
  archived_at timestamptz,
  seq bigint not null,
  client_message_id uuid,
  client_digest text,
  deleted_at timestamptz,
  deleted_by uuid
);
select private.ensure_constraints(
  'public.messages',
  'messages_metadata_check check (jsonb_typeof(metadata) = ''object'')',
  'messages_tombstone_check check (deleted_at is null or content is null)');
comment on table public.messages is 'What was said, numbered without gaps in its conversation. Deleting leaves a tombstone.';
comment on column public.messages.seq is 'Its place in the conversation, 1, 2, 3 and so on, given under the conversation''s row lock.';
comment on column public.messages.client_message_id is 'The sender''s own key: sending again with it gives the first message, for ever.';
comment on column public.messages.client_digest is 'SHA-256 of what the key was first used with, so that an edit does not make a repetition look different. Gone with the content.';
comment on column public.messages.deleted_at is 'A tombstone: the content is gone, the place stays. The audit is in message_deletions.';
comment on column public.messages.deleted_by is 'Who deleted it. Kept as it was when accounts go.';

create unique index if not exists messages_conversation_seq_key on public.messages (conversation_id, seq);
create unique index if not exists messages_client_message_key on public.messages (sender_id, client_message_id);
create index if not exists idx_messages_conversation_time on public.messages (conversation_id, created_at desc);
create index if not exists idx_messages_created_at on public.messages (created_at desc);
create index if not exists idx_messages_created_at_archived on public.messages (created_at, is_archived) where is_archived = false;
create index if not exists idx_messages_reply_to on public.messages (reply_to_id);
create index if not exists idx_messages_sender_id on public.messages (sender_id);
create index if not exists idx_messages_type on public.messages (type);

revoke all on public.messages from public, anon, authenticated, service_role;
grant select on public.messages to authenticated;
grant insert (conversation_id, sender_id, reply_to_id, content, client_message_id) on public.messages to authenticated;
grant update (content) on public.messages to authenticated;
grant select, insert, update, delete on public.messages to service_role;
alter table public.messages enable row level security;

drop policy if exists messages_select_people on public.messages;
create policy messages_select_people on public.messages for select to authenticated
using (
  conversation_id = any ((select private.my_readable_conversation_ids())::uuid[])
  and seq >= coalesce(((select private.my_history_limits()) ->> conversation_id::text)::bigint, 1)
);
comment on policy messages_select_people on public.messages is
  'People who take part now, from the message on with which their history begins; and an admin.';

drop policy if exists messages_insert_sender on public.messages;
create policy messages_insert_sender on public.messages for insert to authenticated
with check (
  sender_id = (select private.me())
  and conversation_id = any ((select private.my_conversation_ids())::uuid[])
);
comment on policy messages_insert_sender on public.messages is 'People who take part write in their own name.';

drop policy if exists messages_update_sender on public.messages;
create policy messages_update_sender on public.messages for update to authenticated
using (
  sender_id = (select private.me())
  and conversation_id = any ((select private.my_conversation_ids())::uuid[])
  and type = 'text'
  and deleted_at is null
)
with check (sender_id = (select private.me()));
comment on policy messages_update_sender on public.messages is
  'Who wrote a text and still takes part may edit it. Deleting goes through public.delete_message.';
