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
  created_at timestamptz not null default now(),
  constraint message_deletions_kind_check check (kind in ('tombstone', 'purge')),
  constraint message_deletions_reason_check check (char_length(reason) <= 1000)
);
comment on table public.message_deletions is
  'Audit of deletions: who removed what, when and why, with a hash of the text. Append-only, without foreign keys, so that it outlives everything it names.';
comment on column public.message_deletions.kind is 'tombstone: the content was removed; purge: the row itself, by the service or with its conversation.';
comment on column public.message_deletions.content_sha256 is 'Proves what a text was to somebody who still has it, and says nothing to others.';

create index if not exists message_deletions_message_idx on public.message_deletions (message_id);
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
    message_created_at)
  values (
    old.id, old.conversation_id, old.seq, old.sender_id,
    case tg_op when 'DELETE' then 'purge' else 'tombstone' end,
    coalesce(case tg_op when 'UPDATE' then new.deleted_by end, private.me()),
    nullif(current_setting('loom.deletion_reason', true), ''),
    encode(sha256(convert_to(old.content, 'UTF8')), 'hex'), char_length(old.content), old.created_at);
  return coalesce(new, old);
end;
$$;
comment on function private.audit_message_deletion() is
  'security definer: writes the audit, which nobody else may write. Trigger for tombstones and for rows that really go.';
revoke execute on function private.audit_message_deletion() from public, anon, authenticated, service_role;

drop trigger if exists messages_audit_tombstone on public.messages;
create trigger messages_audit_tombstone before update of deleted_at on public.messages
for each row execute function private.audit_message_deletion();
drop trigger if exists messages_audit_purge on public.messages;
create trigger messages_audit_purge before delete on public.messages
for each row execute function private.audit_message_deletion();
