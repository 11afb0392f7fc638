create table if not exists public.message_read_receipts (
  id uuid not null default gen_random_uuid() primary key,
  message_id uuid not null references public.messages (id) on delete cascade,
  user_id uuid not null references public.users (id) on delete cascade,
  read_at timestamptz default now(),
  conversation_id uuid not null,
  message_seq bigint not null,
  constraint message_read_receipts_message_id_user_id_key unique (message_id, user_id)
);
comment on table public.message_read_receipts is 'Who read which message of somebody else, and when. Written by public.mark_read only.';
comment on column public.message_read_receipts.conversation_id is 'The message''s conversation, kept by trigger.';
comment on column public.message_read_receipts.message_seq is 'The message''s seq, kept by trigger.';

create index if not exists idx_message_read_receipts_message_id on public.message_read_receipts (message_id);
create index if not exists idx_message_read_receipts_user_id on public.message_read_receipts (user_id);
create index if not exists message_read_receipts_place_idx on public.message_read_receipts (conversation_id, message_seq);

revoke all on public.message_read_receipts from public, anon, authenticated, service_role;
grant select on public.message_read_receipts to authenticated;
grant select, insert, update, delete on public.message_read_receipts to service_role;
alter table public.message_read_receipts enable row level security;

drop policy if exists message_read_receipts_select_people on public.message_read_receipts;
create policy message_read_receipts_select_people on public.message_read_receipts for select to authenticated
using (
  conversation_id = any ((select private.my_readable_conversation_ids())::uuid[])
  and message_seq >= coalesce(((select private.my_history_limits()) ->> conversation_id::text)::bigint, 1)
  and (user_id = (select private.me()) or user_id <> all ((select private.hidden_reader_ids())::uuid[]))
);
comment on policy message_read_receipts_select_people on public.message_read_receipts is
  'Who reads the message sees who has read it, unless one of the two does not share that.';

drop trigger if exists message_read_receipts_place on public.message_read_receipts;
create trigger message_read_receipts_place before insert on public.message_read_receipts
for each row execute function private.place_beside_message('deleted too');
