create table if not exists public.coach_notes (
  id uuid not null primary key default gen_random_uuid(),
  coach_id uuid not null references public.users (id) on delete cascade,
  client_id uuid not null references public.users (id) on delete cascade,
  session_id uuid references public.sessions (id) on delete set null,
  title text not null,
  content text not null,
  privacy_level public.privacy_level not null default 'private',
  tags text[],
  created_at timestamptz not null default now(),
  updated_at timestamptz not null default now()
);
comment on table public.coach_notes is 'What a coach writes down about a client: private, unless shared with the client on purpose.';

create index if not exists idx_coach_notes_client_id on public.coach_notes (client_id);
create index if not exists idx_coach_notes_coach_id on public.coach_notes (coach_id);
create index if not exists idx_coach_notes_session_id on public.coach_notes (session_id);
create index if not exists coach_notes_coach_id_created_at_idx on public.coach_notes (coach_id, created_at desc, id desc);

revoke all on public.coach_notes from public, anon, authenticated, service_role;
grant select, delete on public.coach_notes to authenticated;
grant insert (coach_id, client_id, session_id, title, content, privacy_level, tags) on public.coach_notes to authenticated;
grant update (session_id, title, content, privacy_level, tags) on public.coach_notes to authenticated;
grant select, insert, update, delete on public.coach_notes to service_role;
alter table public.coach_notes enable row level security;

drop policy if exists coach_notes_select_reader on public.coach_notes;
create policy coach_notes_select_reader on public.coach_notes for select to authenticated
using (
  coach_id = (select private.me())
  or (client_id = (select private.me()) and privacy_level = 'shared_with_client')
  or (select private.i_am_admin())
);
comment on policy coach_notes_select_reader on public.coach_notes is 'The coach reads their notes, the client those shared with them, an admin all.';
drop policy if exists coach_notes_insert_coach on public.coach_notes;
create policy coach_notes_insert_coach on public.coach_notes for insert to authenticated
with check (
  coach_id = (select private.me())
  and client_id = any ((select private.my_client_ids())::uuid[])
  and (session_id is null or session_id = any ((select private.my_coached_session_ids())::uuid[]))
);
comment on policy coach_notes_insert_coach on public.coach_notes is 'A coach writes about present clients, tied to sessions of their own only.';
drop policy if exists coach_notes_update_coach on public.coach_notes;
create policy coach_notes_update_coach on public.coach_notes for update to authenticated
using (coach_id = (select private.me()))
with check (
  coach_id = (select private.me())
  and (session_id is null or session_id = any ((select private.my_coached_session_ids())::uuid[]))
);
comment on policy coach_notes_update_coach on public.coach_notes is 'The coach changes their notes.';
drop policy if exists coach_notes_delete_coach on public.coach_notes;
create policy coach_notes_delete_coach on public.coach_notes for delete to authenticated
using (coach_id = (select private.me()));
comment on policy coach_notes_delete_coach on public.coach_notes is 'The coach deletes their notes.';

create or replace function private.guard_coach_note()
returns trigger
language plpgsql
security definer
set search_path = ''
as $$
begin
  -- A shared note shows its client which session it is about: that must be one of theirs, also in a group.
  if new.session_id is not null and private.acting_as_api() and not exists (
    select from public.session_attendees as a
    where a.session_id = new.session_id and a.user_id = new.client_id and a.coach_id = private.me() and a.role <> 'coach'
  ) then
    perform private.fail(404, 'not_found', 'There is no such thing, or it is not yours.');
  end if;
  return new;
end;
$$;
revoke execute on function private.guard_coach_note() from public, anon, authenticated, service_role;
comment on function private.guard_coach_note() is
  'security definer: reads the seats of a session whoever writes. Trigger: a note about a session is about somebody who has, or had, a seat in it.';

drop trigger if exists coach_notes_guard on public.coach_notes;
create trigger coach_notes_guard before insert or update of session_id, client_id on public.coach_notes
for each row execute function private.guard_coach_note();

drop trigger if exists coach_notes_touch on public.coach_notes;
create trigger coach_notes_touch before update on public.coach_notes
for each row execute function private.touch_updated_at();
