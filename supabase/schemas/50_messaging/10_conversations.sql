create table if not exists public.conversations (
  id uuid not null default gen_random_uuid() primary key,
  type public.conversation_type not null default 'direct',
  title text,
  created_by uuid not null references public.users (id) on delete cascade,
  is_archived boolean not null default false,
  is_muted boolean not null default false,
  last_message_at timestamptz default now(),
  created_at timestamptz not null default now(),
  updated_at timestamptz not null default now(),
  last_seq bigint not null default 0,
  direct_key text
);
comment on table public.conversations is 'A thread between two people or a group. People enter by functions only, never by inserting themselves.';
comment on column public.conversations.last_seq is 'The number of its newest message. The lock on this row is what makes numbers dense and in commit order.';
comment on column public.conversations.direct_key is
  'What there may be one of: "smaller id:greater id" for a pair, the same with "@session" for a pair in a session, "session:id" for a session''s group. Null for other groups.';
comment on column public.conversations.is_archived is 'For everybody; each person''s own state is on their participation.';

create unique index if not exists conversations_direct_key_key on public.conversations (direct_key);
create index if not exists idx_conversations_archived on public.conversations (is_archived);
create index if not exists idx_conversations_created_by on public.conversations (created_by);
create index if not exists idx_conversations_last_message_at on public.conversations (last_message_at desc);

revoke all on public.conversations from public, anon, authenticated, service_role;
grant select on public.conversations to authenticated;
grant update (title) on public.conversations to authenticated;
grant select, insert, update, delete on public.conversations to service_role;
alter table public.conversations enable row level security;

drop policy if exists conversations_select_people on public.conversations;
create policy conversations_select_people on public.conversations for select to authenticated
using (id = any ((select private.my_readable_conversation_ids())::uuid[]));
comment on policy conversations_select_people on public.conversations is 'People who take part now, and an admin.';

drop policy if exists conversations_update_lead on public.conversations;
create policy conversations_update_lead on public.conversations for update to authenticated
using (id = any ((select private.my_led_conversation_ids())::uuid[]))
with check (id = any ((select private.my_led_conversation_ids())::uuid[]));
comment on policy conversations_update_lead on public.conversations is 'The coach in a conversation gives it its title.';

create or replace function private.check_conversation()
returns trigger
language plpgsql
security invoker
set search_path = ''
as $$
begin
  -- Old titles of any length stay; what API users write is held to a measure.
  -- Characters that are not seen or that turn the text around could make one title look like another.
  if private.acting_as_api() and new.title is not null and (
    char_length(btrim(new.title)) not between 1 and 200 or not private.is_plain_line(new.title)
  ) then
    perform private.fail(422, 'title_invalid', 'A title has 1 to 200 characters, all of them visible.');
  end if;
  return new;
end;
$$;
comment on function private.check_conversation() is 'Trigger: the measure of a title that API users write.';
revoke execute on function private.check_conversation() from public, anon, authenticated, service_role;

drop trigger if exists conversations_check on public.conversations;
create trigger conversations_check before insert or update of title on public.conversations
for each row execute function private.check_conversation();
drop trigger if exists conversations_touch on public.conversations;
create trigger conversations_touch before update on public.conversations
for each row execute function private.touch_updated_at();
