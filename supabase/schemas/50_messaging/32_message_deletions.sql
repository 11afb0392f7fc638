create table if not exists public.message_deletions (
  id uuid primary key default gen_random_uuid(),
  message_id uuid not null,
  conversation_id uuid not null,
  message_seq bigint not null,
  sender_id uuid not null,
  kind text not null,
  deleted_by uuid,
  reason text,
  content_sha256 text,
  content_length integer,
  message_created_at timestamptz not null,
  content text,
  revisions jsonb not null default '[]',
  attachments jsonb not null default '[]',
  created_at timestamptz not null default now(),
  constraint message_deletions_kind_check check (kind in ('tombstone', 'purge')),
  constraint message_deletions_reason_check check (char_length(reason) <= 1000)
);
comment on table public.message_deletions is
  'Audit of deletions: who removed what, when and why, and what it was. For admins. Append-only, without foreign keys, so that it outlives everything it names.';
comment on column public.message_deletions.kind is 'tombstone: the content was removed; purge: the row itself, by the service or with its conversation.';
comment on column public.message_deletions.content is 'What the message said when it was deleted.';
comment on column public.message_deletions.revisions is 'What it said before, as [{"content", "written_at"}], oldest first.';
comment on column public.message_deletions.attachments is 'What came with it, as [{"file_name", "file_size", "file_type"}]. The files are gone.';
comment on column public.message_deletions.content_sha256 is 'Proves what a text was to somebody who still has it, and says nothing to others.';

create index if not exists message_deletions_message_idx on public.message_deletions (message_id);
create index if not exists message_deletions_newest_idx on public.message_deletions (created_at desc, id desc);
create index if not exists message_deletions_conversation_idx on public.message_deletions (conversation_id, message_seq);

revoke all on public.message_deletions from public, anon, authenticated, service_role;
grant select on public.message_deletions to authenticated;
grant select, insert on public.message_deletions to service_role;
alter table public.message_deletions enable row level security;

drop policy if exists message_deletions_select_admin on public.message_deletions;
create policy message_deletions_select_admin on public.message_deletions for select to authenticated
using ((select private.i_am_admin()));
comment on policy message_deletions_select_admin on public.message_deletions is 'Only an admin reads the audit.';

create or replace function private.audit_message_deletion()
returns trigger
language plpgsql
security definer
set search_path = ''
as $$
begin
  if tg_op = 'UPDATE' and (old.deleted_at is not null or new.deleted_at is null) then
    return new;
  end if;
  insert into public.message_deletions (
    message_id, conversation_id, message_seq, sender_id, kind, deleted_by, reason, content_sha256, content_length,
    message_created_at, content, revisions, attachments)
  values (
    old.id, old.conversation_id, old.seq, old.sender_id,
    case tg_op when 'DELETE' then 'purge' else 'tombstone' end,
    coalesce(case tg_op when 'UPDATE' then new.deleted_by end, private.me()),
    nullif(current_setting('loom.deletion_reason', true), ''),
    encode(sha256(convert_to(old.content, 'UTF8')), 'hex'), char_length(old.content), old.created_at,
    old.content,
    coalesce(
      (
        select jsonb_agg(jsonb_build_object('content', r.content, 'written_at', r.written_at) order by r.revision)
        from public.message_revisions as r
        where r.message_id = old.id
      ),
      '[]'),
    coalesce(
      (
        select jsonb_agg(
          jsonb_build_object('file_name', f.file_name, 'file_size', f.file_size, 'file_type', f.file_type) order by f.created_at, f.id)
        from public.message_attachments as f
        where f.message_id = old.id
      ),
      '[]'));
  if old.deleted_at is null then
    -- It is nothing to read any more for those who had not.
    update public.conversation_participants as p
    set own_after_read = p.own_after_read + 1
    where p.conversation_id = old.conversation_id and p.user_id <> old.sender_id
      and p.last_read_seq < old.seq and p.history_from_seq <= old.seq;
  end if;
  if tg_op = 'UPDATE' then
    delete from public.message_revisions as r where r.message_id = old.id;
    delete from public.message_attachments as f where f.message_id = old.id;
  end if;
  return coalesce(new, old);
end;
$$;
comment on function private.audit_message_deletion() is
  'security definer: writes the audit and reading positions, which nobody else may write. Trigger for tombstones and for rows that really go.';
revoke execute on function private.audit_message_deletion() from public, anon, authenticated, service_role;

drop trigger if exists messages_audit_tombstone on public.messages;
create trigger messages_audit_tombstone before update of deleted_at on public.messages
for each row execute function private.audit_message_deletion();
drop trigger if exists messages_audit_purge on public.messages;
create trigger messages_audit_purge before delete on public.messages
for each row execute function private.audit_message_deletion();
