create table if not exists public.messaging_preferences (
  user_id uuid primary key references public.users (id) on delete cascade,
  share_receipts boolean not null default true,
  created_at timestamptz not null default now(),
  updated_at timestamptz not null default now()
);
comment on table public.messaging_preferences is 'A person''s own choices in conversations. No row: the defaults.';
comment on column public.messaging_preferences.share_receipts is
  'Off: nobody sees how far the person has read, and the person sees it of nobody.';

create index if not exists messaging_preferences_hidden_idx on public.messaging_preferences (user_id) where not share_receipts;

revoke all on public.messaging_preferences from public, anon, authenticated, service_role;
grant select on public.messaging_preferences to authenticated;
grant insert (user_id, share_receipts), update (share_receipts) on public.messaging_preferences to authenticated;
grant select, insert, update, delete on public.messaging_preferences to service_role;
alter table public.messaging_preferences enable row level security;

drop policy if exists messaging_preferences_select_own on public.messaging_preferences;
create policy messaging_preferences_select_own on public.messaging_preferences for select to authenticated
using (user_id = (select private.me()));
comment on policy messaging_preferences_select_own on public.messaging_preferences is 'One''s own.';
drop policy if exists messaging_preferences_insert_own on public.messaging_preferences;
create policy messaging_preferences_insert_own on public.messaging_preferences for insert to authenticated
with check (user_id = (select private.me()));
comment on policy messaging_preferences_insert_own on public.messaging_preferences is 'For oneself.';
drop policy if exists messaging_preferences_update_own on public.messaging_preferences;
create policy messaging_preferences_update_own on public.messaging_preferences for update to authenticated
using (user_id = (select private.me())) with check (user_id = (select private.me()));
comment on policy messaging_preferences_update_own on public.messaging_preferences is 'One''s own.';

drop trigger if exists messaging_preferences_touch on public.messaging_preferences;
create trigger messaging_preferences_touch before update on public.messaging_preferences
for each row execute function private.touch_updated_at();

create or replace function private.hidden_reader_ids()
returns uuid[]
language plpgsql
stable
security definer
set search_path = ''
as $$
declare
  v_me uuid := private.me();
begin
  -- An admin looks into everything; that is not a conversation.
  if private.i_am_admin() then
    return '{}';
  end if;
  if exists (select from public.messaging_preferences as x where x.user_id = v_me and not x.share_receipts) then
    return null;
  end if;
  return coalesce(
    (
      select array_agg(distinct q.user_id)
      from public.conversation_participants as mine
      join public.conversation_participants as q on q.conversation_id = mine.conversation_id and q.user_id <> v_me
      join public.messaging_preferences as x on x.user_id = q.user_id and not x.share_receipts
      where mine.user_id = v_me and mine.left_at is null
    ),
    '{}');
end;
$$;
comment on function private.hidden_reader_ids() is
  'security definer: reads other people''s choices. Whose reading the active user may not see; null: nobody''s may be seen, since the user shows none either.';
revoke execute on function private.hidden_reader_ids() from public, anon, authenticated, service_role;
grant execute on function private.hidden_reader_ids() to authenticated, service_role;
