create table if not exists public.conversation_contexts (
  id uuid primary key default gen_random_uuid(),
  conversation_id uuid unique references public.conversations (id) on delete cascade,
  context_type public.conversation_context_type not null default 'general',
  session_id uuid references public.sessions (id) on delete set null,
  metadata jsonb not null default '{}'::jsonb,
  created_at timestamptz not null default now(),
  updated_at timestamptz not null default now(),
  constraint conversation_contexts_has_conversation check (conversation_id is not null),
  constraint conversation_contexts_session_by_type check ((context_type = 'session') = (session_id is not null)),
  constraint conversation_contexts_metadata_check check (jsonb_typeof(metadata) = 'object')
);
comment on table public.conversation_contexts is 'What a conversation is about. None, or general: nothing in particular.';
comment on column public.conversation_contexts.session_id is
  'Set exactly for context session. When the session goes, the context becomes general and metadata keeps its id.';

create index if not exists conversation_contexts_session_idx on public.conversation_contexts (session_id);

revoke all on public.conversation_contexts from public, anon, authenticated, service_role;
grant select on public.conversation_contexts to authenticated;
grant select, insert, update, delete on public.conversation_contexts to service_role;
alter table public.conversation_contexts enable row level security;

-- The review's placeholder would do no harm beside real policies, but says something that is no longer true.
drop policy if exists conversation_contexts_service_only on public.conversation_contexts;

drop policy if exists conversation_contexts_select_people on public.conversation_contexts;
create policy conversation_contexts_select_people on public.conversation_contexts for select to authenticated
using (conversation_id = any ((select private.my_readable_conversation_ids())::uuid[]));
comment on policy conversation_contexts_select_people on public.conversation_contexts is
  'Who reads the conversation reads what it is about. Functions write it.';

create or replace function private.keep_context_consistent()
returns trigger
language plpgsql
security invoker
set search_path = ''
as $$
begin
  -- ON DELETE SET NULL of the session is an update of this row.
  if new.context_type = 'session' and new.session_id is null and old.session_id is not null then
    new.context_type := 'general';
    new.metadata := new.metadata || jsonb_build_object('former_session_id', old.session_id);
  end if;
  return new;
end;
$$;
comment on function private.keep_context_consistent() is 'Trigger: a context whose session was deleted becomes a general one.';
revoke execute on function private.keep_context_consistent() from public, anon, authenticated, service_role;

drop trigger if exists conversation_contexts_consistent on public.conversation_contexts;
create trigger conversation_contexts_consistent before update on public.conversation_contexts
for each row execute function private.keep_context_consistent();
drop trigger if exists conversation_contexts_touch on public.conversation_contexts;
create trigger conversation_contexts_touch before update on public.conversation_contexts
for each row execute function private.touch_updated_at();
