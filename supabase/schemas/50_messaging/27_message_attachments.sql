create table if not exists public.message_attachments (
  id uuid not null default gen_random_uuid() primary key,
  message_id uuid not null references public.messages (id) on delete cascade,
  file_name text not null,
  file_size integer not null,
  file_type text not null,
  attachment_type public.attachment_type not null default 'other',
  url text not null,
  thumbnail_url text,
  metadata jsonb not null default '{}',
  created_at timestamptz not null default now(),
  updated_at timestamptz not null default now(),
  conversation_id uuid not null,
  message_seq bigint not null
);
do $$
begin
  if not exists (
    select from pg_constraint
    where conrelid = 'public.message_attachments'::regclass and conname = 'message_attachments_metadata_check'
  ) then
    alter table public.message_attachments
      add constraint message_attachments_metadata_check check (jsonb_typeof(metadata) = 'object');
  end if;
end;
$$;
comment on table public.message_attachments is 'Files that came with messages. Only checked uploads become one; those of earlier versions keep the address they had.';
comment on column public.message_attachments.conversation_id is 'The message''s conversation, kept by trigger.';
comment on column public.message_attachments.message_seq is 'The message''s seq, kept by trigger.';

create index if not exists idx_message_attachments_message_id on public.message_attachments (message_id);
create index if not exists idx_message_attachments_type on public.message_attachments (attachment_type);
create index if not exists message_attachments_place_idx on public.message_attachments (conversation_id, message_seq);

revoke all on public.message_attachments from public, anon, authenticated, service_role;
grant select on public.message_attachments to authenticated;
grant select, insert, update, delete on public.message_attachments to service_role;
alter table public.message_attachments enable row level security;

drop policy if exists message_attachments_select_people on public.message_attachments;
create policy message_attachments_select_people on public.message_attachments for select to authenticated
using (
  conversation_id = any ((select private.my_readable_conversation_ids())::uuid[])
  and message_seq >= coalesce(((select private.my_history_limits()) ->> conversation_id::text)::bigint, 1)
);
comment on policy message_attachments_select_people on public.message_attachments is 'Who reads the message reads what came with it.';

drop trigger if exists message_attachments_place on public.message_attachments;
create trigger message_attachments_place before insert on public.message_attachments
for each row execute function private.place_beside_message();
drop trigger if exists message_attachments_touch on public.message_attachments;
create trigger message_attachments_touch before update on public.message_attachments
for each row execute function private.touch_updated_at();
