create table if not exists public.conversation_participants (
  id uuid not null default gen_random_uuid() primary key,
  conversation_id uuid not null references public.conversations (id) on delete cascade,
  user_id uuid not null references public.users (id) on delete cascade,
  role text default 'member',
  joined_at timestamptz default now(),
  left_at timestamptz,
  is_muted boolean not null default false,
  is_archived boolean not null default false,
  last_read_at timestamptz default now(),
  created_at timestamptz not null default now(),
  updated_at timestamptz not null default now(),
  last_read_seq bigint not null default 0,
  own_after_read bigint not null default 0,
  history_from_seq bigint not null default 1,
  left_by uuid,
  constraint conversation_participants_conversation_id_user_id_key unique (conversation_id, user_id)
);
comment on table public.conversation_participants is
  'Who takes part in a conversation, or did. Each sees only their own row; names come from public.conversation_people.';
comment on column public.conversation_participants.role is 'coach or admin: leads the conversation; anything else: takes part.';
comment on column public.conversation_participants.last_read_seq is
  'The newest message read; only ever grows. Unread are conversations.last_seq - last_read_seq - own_after_read.';
comment on column public.conversation_participants.own_after_read is 'How many messages behind last_read_seq are nothing to read: the person''s own, and deleted ones.';
comment on column public.conversation_participants.history_from_seq is 'The first message the person may read; above 1 for who joined later.';
comment on column public.conversation_participants.left_by is 'Who ended it: the person, or who removed them. Kept as it was when accounts go.';

create index if not exists idx_conversation_participants_conversation_id on public.conversation_participants (conversation_id);
create index if not exists idx_conversation_participants_last_read on public.conversation_participants (last_read_at);
create index if not exists idx_conversation_participants_user_id on public.conversation_participants (user_id);
create index if not exists conversation_participants_current_idx
  on public.conversation_participants (user_id) include (conversation_id, role, history_from_seq) where left_at is null;
create index if not exists conversation_participants_late_idx
  on public.conversation_participants (user_id) include (conversation_id, history_from_seq) where left_at is null and history_from_seq > 1;

revoke all on public.conversation_participants from public, anon, authenticated, service_role;
grant select on public.conversation_participants to authenticated;
grant update (is_muted, is_archived) on public.conversation_participants to authenticated;
grant select, insert, update, delete on public.conversation_participants to service_role;
alter table public.conversation_participants enable row level security;

drop policy if exists conversation_participants_select_own on public.conversation_participants;
create policy conversation_participants_select_own on public.conversation_participants for select to authenticated
using ((user_id = (select private.me()) and left_at is null) or (select private.i_am_admin()));
comment on policy conversation_participants_select_own on public.conversation_participants is
  'One''s own present participation; an admin reads all. Whether others muted or archived is nobody else''s business.';

drop policy if exists conversation_participants_update_own on public.conversation_participants;
create policy conversation_participants_update_own on public.conversation_participants for update to authenticated
using (user_id = (select private.me()) and left_at is null)
with check (user_id = (select private.me()) and left_at is null);
comment on policy conversation_participants_update_own on public.conversation_participants is
  'Everybody mutes and archives for themselves; reading, leaving and joining go through functions.';

drop trigger if exists conversation_participants_touch on public.conversation_participants;
create trigger conversation_participants_touch before update on public.conversation_participants
for each row execute function private.touch_updated_at();
