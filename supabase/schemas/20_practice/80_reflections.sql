create table if not exists public.reflections (
  id uuid not null primary key default gen_random_uuid(),
  client_id uuid not null references public.users (id) on delete cascade,
  session_id uuid references public.sessions (id) on delete set null,
  content text not null,
  mood_rating integer,
  insights text,
  goals_for_next_session text,
  created_at timestamptz not null default now(),
  updated_at timestamptz not null default now(),
  constraint reflections_mood_rating_check check (mood_rating >= 1 and mood_rating <= 10)
);
comment on table public.reflections is 'What a client writes after a session, or between them. Read by the coach of its session; without a session it is the client''s own.';

create index if not exists idx_reflections_client_id on public.reflections (client_id);
create index if not exists idx_reflections_session_id on public.reflections (session_id);
create index if not exists reflections_client_id_created_at_idx on public.reflections (client_id, created_at desc, id desc);

revoke all on public.reflections from public, anon, authenticated, service_role;
grant select, delete on public.reflections to authenticated;
grant insert (client_id, session_id, content, mood_rating, insights, goals_for_next_session)
on public.reflections to authenticated;
grant update (session_id, content, mood_rating, insights, goals_for_next_session) on public.reflections to authenticated;
grant select, insert, update, delete on public.reflections to service_role;
alter table public.reflections enable row level security;

drop policy if exists reflections_select_reader on public.reflections;
create policy reflections_select_reader on public.reflections for select to authenticated
using (
  client_id = (select private.me())
  or session_id = any ((select private.my_coached_session_ids())::uuid[])
  or (select private.i_am_admin())
);
comment on policy reflections_select_reader on public.reflections is
  'The client reads their own; a coach those on sessions they gave, and no others; an admin all.';
drop policy if exists reflections_insert_client on public.reflections;
create policy reflections_insert_client on public.reflections for insert to authenticated
with check (
  client_id = (select private.me())
  and (session_id is null or session_id = any ((select private.my_session_ids())::uuid[]))
);
comment on policy reflections_insert_client on public.reflections is 'Everybody writes reflections of their own, tied to sessions of their own only.';
drop policy if exists reflections_update_client on public.reflections;
create policy reflections_update_client on public.reflections for update to authenticated
using (client_id = (select private.me()))
with check (
  client_id = (select private.me())
  and (session_id is null or session_id = any ((select private.my_session_ids())::uuid[]))
);
comment on policy reflections_update_client on public.reflections is 'The client changes their own.';
drop policy if exists reflections_delete_client on public.reflections;
create policy reflections_delete_client on public.reflections for delete to authenticated
using (client_id = (select private.me()));
comment on policy reflections_delete_client on public.reflections is 'The client deletes their own.';

drop trigger if exists reflections_touch on public.reflections;
create trigger reflections_touch before update on public.reflections
for each row execute function private.touch_updated_at();
