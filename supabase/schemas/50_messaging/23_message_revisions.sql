create table if not exists public.message_revisions (
  id uuid primary key default gen_random_uuid(),
  message_id uuid not null references public.messages (id) on delete cascade,
  conversation_id uuid not null,
  message_seq bigint not null,
  revision integer not null,
  content text not null,
  written_at timestamptz not null,
  replaced_at timestamptz not null default now(),
  constraint message_revisions_once_key unique (message_id, revision)
);
comment on table public.message_revisions is
  'What a message said before each edit, oldest first. Written by trigger; gone with the message''s text when it is deleted.';
comment on column public.message_revisions.revision is '1 for the first text, and so on; the present text is the message''s own.';
comment on column public.message_revisions.written_at is 'When this text was written.';

create index if not exists message_revisions_place_idx on public.message_revisions (conversation_id, message_seq);

revoke all on public.message_revisions from public, anon, authenticated, service_role;
grant select on public.message_revisions to authenticated;
grant select, insert, delete on public.message_revisions to service_role;
alter table public.message_revisions enable row level security;

drop policy if exists message_revisions_select_people on public.message_revisions;
create policy message_revisions_select_people on public.message_revisions for select to authenticated
using (
  conversation_id = any ((select private.my_readable_conversation_ids())::uuid[])
  and message_seq >= coalesce(((select private.my_history_limits()) ->> conversation_id::text)::bigint, 1)
);
comment on policy message_revisions_select_people on public.message_revisions is
  'Who reads the message reads what it said before: an edit must not be a way to deny what was said.';

create or replace function private.keep_revision()
returns trigger
language plpgsql
security definer
set search_path = ''
as $$
begin
  insert into public.message_revisions (message_id, conversation_id, message_seq, revision, content, written_at)
  select old.id, old.conversation_id, old.seq, count(*) + 1, old.content, coalesce(old.edited_at, old.created_at)
  from public.message_revisions as r
  where r.message_id = old.id;
  return null;
end;
$$;
comment on function private.keep_revision() is
  'security definer: writes the history of edits, which no API role may. Trigger: the text that an edit replaces is kept.';
revoke execute on function private.keep_revision() from public, anon, authenticated, service_role;

drop trigger if exists messages_revise on public.messages;
create trigger messages_revise after update of content on public.messages
for each row when (old.content is distinct from new.content and old.content is not null and new.deleted_at is null)
execute function private.keep_revision();
