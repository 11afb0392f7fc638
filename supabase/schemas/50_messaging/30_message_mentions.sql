create table if not exists public.message_mentions (
  id uuid primary key default gen_random_uuid(),
  message_id uuid not null references public.messages (id) on delete cascade,
  mentioned_user_id uuid not null references public.users (id) on delete cascade,
  created_at timestamptz not null default now(),
  conversation_id uuid not null,
  message_seq bigint not null,
  mentioned_by uuid not null,
  unique (message_id, mentioned_user_id),
  -- Whoever was never in the conversation cannot be mentioned in it, by anybody.
  constraint message_mentions_participant_fkey foreign key (conversation_id, mentioned_user_id)
    references public.conversation_participants (conversation_id, user_id) on delete cascade
);
comment on table public.message_mentions is 'Who is mentioned in a message: only people of the same conversation.';
comment on column public.message_mentions.conversation_id is 'The message''s conversation, kept by trigger.';
comment on column public.message_mentions.message_seq is 'The message''s seq, kept by trigger.';
comment on column public.message_mentions.mentioned_by is 'The message''s sender, kept by trigger.';

create index if not exists message_mentions_user_idx on public.message_mentions (mentioned_user_id);
create index if not exists message_mentions_participant_idx on public.message_mentions (conversation_id, mentioned_user_id);
create index if not exists message_mentions_place_idx on public.message_mentions (conversation_id, message_seq);

revoke all on public.message_mentions from public, anon, authenticated, service_role;
grant select, delete on public.message_mentions to authenticated;
grant insert (message_id, mentioned_user_id) on public.message_mentions to authenticated;
grant select, insert, update, delete on public.message_mentions to service_role;
alter table public.message_mentions enable row level security;

drop policy if exists message_mentions_service_only on public.message_mentions;

drop policy if exists message_mentions_select_people on public.message_mentions;
create policy message_mentions_select_people on public.message_mentions for select to authenticated
using (
  conversation_id = any ((select private.my_readable_conversation_ids())::uuid[])
  and message_seq >= coalesce(((select private.my_history_limits()) ->> conversation_id::text)::bigint, 1)
);
comment on policy message_mentions_select_people on public.message_mentions is 'Who reads the message sees who is mentioned.';

drop policy if exists message_mentions_insert_sender on public.message_mentions;
create policy message_mentions_insert_sender on public.message_mentions for insert to authenticated
with check (
  mentioned_by = (select private.me())
  and conversation_id = any ((select private.my_conversation_ids())::uuid[])
);
comment on policy message_mentions_insert_sender on public.message_mentions is 'The sender mentions, in their own message.';

drop policy if exists message_mentions_delete_sender on public.message_mentions;
create policy message_mentions_delete_sender on public.message_mentions for delete to authenticated
using (
  mentioned_by = (select private.me())
  and conversation_id = any ((select private.my_conversation_ids())::uuid[])
);
comment on policy message_mentions_delete_sender on public.message_mentions is 'The sender takes a mention back, when editing.';

create or replace function private.place_mention()
returns trigger
language plpgsql
security definer
set search_path = ''
as $$
declare
  v_message record;
begin
  select m.conversation_id, m.seq, m.sender_id, m.deleted_at into v_message
  from public.messages as m
  where m.id = new.message_id;
  new.conversation_id := v_message.conversation_id;
  new.message_seq := v_message.seq;
  new.mentioned_by := v_message.sender_id;
  if private.acting_as_api() then
    if v_message.deleted_at is not null
      or v_message.sender_id is distinct from private.me()
      or not private.i_take_part(v_message.conversation_id) then
      -- The policy refuses this row next, whoever is mentioned.
      new.conversation_id := null;
      return new;
    end if;
    -- One answer for an outsider, somebody who left and nobody at all: this must not tell who exists or who was here.
    if not exists (
      select
      from public.conversation_participants as p
      where p.conversation_id = new.conversation_id and p.user_id = new.mentioned_user_id and p.left_at is null
    ) then
      perform private.fail(422, 'mention_unknown', 'Only people in this conversation can be mentioned.');
    end if;
  end if;
  return new;
end;
$$;
comment on function private.place_mention() is
  'security definer: reads the message and its people whoever inserts. Trigger: copies the message''s place and refuses outsiders.';
revoke execute on function private.place_mention() from public, anon, authenticated, service_role;

drop trigger if exists message_mentions_place on public.message_mentions;
create trigger message_mentions_place before insert on public.message_mentions
for each row execute function private.place_mention();
