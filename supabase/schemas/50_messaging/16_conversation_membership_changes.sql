create table if not exists public.conversation_membership_changes (
  id uuid primary key default gen_random_uuid(),
  conversation_id uuid not null references public.conversations (id) on delete cascade,
  user_id uuid not null,
  change text not null,
  changed_by uuid,
  at_seq bigint not null,
  created_at timestamptz not null default now(),
  constraint conversation_membership_changes_change_check check (change in ('joined', 'left', 'removed'))
);
comment on table public.conversation_membership_changes is
  'The trace of who came, left and was removed, and by whom. Append-only; people are named without foreign keys, so that it stays as it was when accounts go.';
comment on column public.conversation_membership_changes.changed_by is 'Who did it; null where Loom or an import did.';
comment on column public.conversation_membership_changes.at_seq is 'The newest message at that moment.';

create index if not exists conversation_membership_changes_place_idx
  on public.conversation_membership_changes (conversation_id, created_at, id);

revoke all on public.conversation_membership_changes from public, anon, authenticated, service_role;
grant select on public.conversation_membership_changes to authenticated;
grant select, insert on public.conversation_membership_changes to service_role;
alter table public.conversation_membership_changes enable row level security;

drop policy if exists conversation_membership_changes_select_lead on public.conversation_membership_changes;
create policy conversation_membership_changes_select_lead on public.conversation_membership_changes for select to authenticated
using (conversation_id = any ((select private.my_led_conversation_ids())::uuid[]) or (select private.i_am_admin()));
comment on policy conversation_membership_changes_select_lead on public.conversation_membership_changes is
  'Whoever leads the conversation, and an admin. That somebody was removed, and by whom, is not for the others.';

create or replace function private.trace_membership()
returns trigger
language plpgsql
security definer
set search_path = ''
as $$
begin
  if tg_op = 'UPDATE' and (old.left_at is null) = (new.left_at is null) then
    return null;
  end if;
  -- An import writes those who left long ago as having left; that they came is not worth a line then.
  insert into public.conversation_membership_changes (conversation_id, user_id, change, changed_by, at_seq)
  select
    new.conversation_id, new.user_id,
    case when new.left_at is null then 'joined' when new.left_by is not distinct from new.user_id then 'left' else 'removed' end,
    coalesce(private.me(), case when new.left_at is not null then new.left_by end),
    c.last_seq
  from public.conversations as c
  where c.id = new.conversation_id;
  return null;
end;
$$;
comment on function private.trace_membership() is
  'security definer: writes the trace, which nobody else may write. Trigger: a line for each coming and going.';
revoke execute on function private.trace_membership() from public, anon, authenticated, service_role;

drop trigger if exists conversation_participants_trace on public.conversation_participants;
create trigger conversation_participants_trace after insert or update of left_at on public.conversation_participants
for each row execute function private.trace_membership();
