create table if not exists public.typing_indicators (
  id uuid not null default gen_random_uuid() primary key,
  conversation_id uuid not null references public.conversations (id) on delete cascade,
  user_id uuid not null references public.users (id) on delete cascade,
  started_at timestamptz default now(),
  expires_at timestamptz default (now() + '00:00:10'::interval),
  constraint typing_indicators_conversation_id_user_id_key unique (conversation_id, user_id)
);
comment on table public.typing_indicators is 'Who is writing just now. A row that has expired is not seen by anybody.';

create index if not exists idx_typing_indicators_conversation_id on public.typing_indicators (conversation_id);
create index if not exists idx_typing_indicators_expires_at on public.typing_indicators (expires_at);
create index if not exists idx_typing_indicators_user_id on public.typing_indicators (user_id);

revoke all on public.typing_indicators from public, anon, authenticated, service_role;
grant select, delete on public.typing_indicators to authenticated;
grant insert (conversation_id, user_id) on public.typing_indicators to authenticated;
grant update (user_id) on public.typing_indicators to authenticated;
grant select, insert, update, delete on public.typing_indicators to service_role;
alter table public.typing_indicators enable row level security;

drop policy if exists typing_indicators_select_people on public.typing_indicators;
create policy typing_indicators_select_people on public.typing_indicators for select to authenticated
using (
  conversation_id = any ((select private.my_readable_conversation_ids())::uuid[])
  and (expires_at > now() or user_id = (select private.me()))
);
comment on policy typing_indicators_select_people on public.typing_indicators is
  'People of the conversation, while it lasts; one''s own row also later, so that it can be renewed.';

drop policy if exists typing_indicators_insert_own on public.typing_indicators;
create policy typing_indicators_insert_own on public.typing_indicators for insert to authenticated
with check (user_id = (select private.me()) and conversation_id = any ((select private.my_conversation_ids())::uuid[]));
comment on policy typing_indicators_insert_own on public.typing_indicators is 'People who take part say so for themselves.';

drop policy if exists typing_indicators_update_own on public.typing_indicators;
create policy typing_indicators_update_own on public.typing_indicators for update to authenticated
using (user_id = (select private.me()) and conversation_id = any ((select private.my_conversation_ids())::uuid[]))
with check (user_id = (select private.me()) and conversation_id = any ((select private.my_conversation_ids())::uuid[]));
comment on policy typing_indicators_update_own on public.typing_indicators is 'Renewing one''s own row; its times are the trigger''s.';

drop policy if exists typing_indicators_delete_own on public.typing_indicators;
create policy typing_indicators_delete_own on public.typing_indicators for delete to authenticated
using (user_id = (select private.me()));
comment on policy typing_indicators_delete_own on public.typing_indicators is 'Stopping, also after leaving.';

create or replace function private.limit_typing()
returns trigger
language plpgsql
security invoker
set search_path = ''
as $$
begin
  if private.acting_as_api() then
    new.started_at := now();
    new.expires_at := now() + interval '10 seconds';
  end if;
  return new;
end;
$$;
comment on function private.limit_typing() is 'Trigger: ten seconds from now, whatever an API user says.';
revoke execute on function private.limit_typing() from public, anon, authenticated, service_role;

drop trigger if exists typing_indicators_limit on public.typing_indicators;
create trigger typing_indicators_limit before insert or update on public.typing_indicators
for each row execute function private.limit_typing();
