create table if not exists public.message_reactions (
  id uuid not null default gen_random_uuid() primary key,
  message_id uuid not null references public.messages (id) on delete cascade,
  user_id uuid not null references public.users (id) on delete cascade,
  emoji text not null,
  created_at timestamptz not null default now(),
  conversation_id uuid not null,
  message_seq bigint not null,
  constraint message_reactions_message_id_user_id_emoji_key unique (message_id, user_id, emoji)
);
comment on table public.message_reactions is 'One person''s emoji on one message.';
comment on column public.message_reactions.conversation_id is 'The message''s conversation, kept by trigger.';
comment on column public.message_reactions.message_seq is 'The message''s seq, kept by trigger.';

create index if not exists idx_message_reactions_message_id on public.message_reactions (message_id);
create index if not exists idx_message_reactions_user_id on public.message_reactions (user_id);
create index if not exists message_reactions_place_idx on public.message_reactions (conversation_id, message_seq);

revoke all on public.message_reactions from public, anon, authenticated, service_role;
grant select, delete on public.message_reactions to authenticated;
grant insert (message_id, user_id, emoji) on public.message_reactions to authenticated;
grant select, insert, update, delete on public.message_reactions to service_role;
alter table public.message_reactions enable row level security;

drop policy if exists message_reactions_select_people on public.message_reactions;
create policy message_reactions_select_people on public.message_reactions for select to authenticated
using (
  conversation_id = any ((select private.my_readable_conversation_ids())::uuid[])
  and message_seq >= coalesce(((select private.my_history_limits()) ->> conversation_id::text)::bigint, 1)
);
comment on policy message_reactions_select_people on public.message_reactions is 'Who reads the message reads its reactions.';

drop policy if exists message_reactions_insert_own on public.message_reactions;
create policy message_reactions_insert_own on public.message_reactions for insert to authenticated
with check (
  user_id = (select private.me())
  and conversation_id = any ((select private.my_conversation_ids())::uuid[])
  and message_seq >= coalesce(((select private.my_history_limits()) ->> conversation_id::text)::bigint, 1)
  and char_length(emoji) between 1 and 32
  and emoji !~ '[[:space:][:cntrl:]]'
);
comment on policy message_reactions_insert_own on public.message_reactions is
  'People who take part react in their own name, to messages that they can read and that are still there.';

drop policy if exists message_reactions_delete_own on public.message_reactions;
create policy message_reactions_delete_own on public.message_reactions for delete to authenticated
using (user_id = (select private.me()) and conversation_id = any ((select private.my_conversation_ids())::uuid[]));
comment on policy message_reactions_delete_own on public.message_reactions is 'Everybody takes back their own reaction.';

drop trigger if exists message_reactions_place on public.message_reactions;
create trigger message_reactions_place before insert on public.message_reactions
for each row execute function private.place_beside_message();
