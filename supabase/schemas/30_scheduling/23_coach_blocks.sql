-- What takes a coach's time. One exclusion constraint over all of it is the guarantee against double booking.

create table if not exists public.coach_blocks (
  id uuid primary key default gen_random_uuid(),
  coach_id uuid not null references public.users (id) on delete cascade,
  kind text not null,
  session_id uuid unique references public.sessions (id) on delete cascade,
  during tstzrange not null,
  expires_at timestamptz,
  note text,
  created_at timestamptz not null default now(),
  updated_at timestamptz not null default now(),
  constraint coach_blocks_kind check (kind in ('session', 'hold', 'time_off')),
  constraint coach_blocks_session_of_kind check ((kind = 'session') = (session_id is not null)),
  constraint coach_blocks_expiry_of_kind check ((kind = 'hold') = (expires_at is not null)),
  -- An empty range overlaps nothing and an open one everything: both would make the constraint below lie.
  constraint coach_blocks_bounds check (
    not isempty(during) and not lower_inf(during) and not upper_inf(during)
    and isfinite(lower(during)) and isfinite(upper(during)) and lower_inc(during) and not upper_inc(during)
  ),
  constraint coach_blocks_note_length check (char_length(note) <= 500)
);

do $$
begin
  if not exists (
    select from pg_catalog.pg_constraint
    where conname = 'coach_blocks_no_overlap' and conrelid = 'public.coach_blocks'::regclass
  ) then
    alter table public.coach_blocks
      add constraint coach_blocks_no_overlap exclude using gist (coach_id with =, during with &&);
  end if;
end
$$;

comment on table public.coach_blocks is
  'Stretches of a coach''s time that are taken: sessions with their buffers (kept by trigger), holds until they expire, time off. No two of one coach overlap.';
comment on column public.coach_blocks.during is 'From and to, the end not included, buffers inside: stored, since a constraint cannot compute it.';
comment on constraint coach_blocks_no_overlap on public.coach_blocks is
  'Nobody books a coach twice. Keyed by coach, so that no conflict tells anything about another coach.';

create index if not exists coach_blocks_expiry_idx on public.coach_blocks (coach_id, expires_at) where kind = 'hold';

revoke all on public.coach_blocks from public, anon, authenticated, service_role;
grant select, insert, update, delete on public.coach_blocks to service_role;
grant select, delete on public.coach_blocks to authenticated;
grant insert (coach_id, kind, during, note) on public.coach_blocks to authenticated;

alter table public.coach_blocks enable row level security;

drop policy if exists coach_blocks_select_coach on public.coach_blocks;
create policy coach_blocks_select_coach on public.coach_blocks for select to authenticated
  using (coach_id = (select private.me()) or (select private.i_am_admin()));
comment on policy coach_blocks_select_coach on public.coach_blocks is
  'A coach sees what takes their time. Others learn only which slots are free.';

drop policy if exists coach_blocks_insert_time_off on public.coach_blocks;
create policy coach_blocks_insert_time_off on public.coach_blocks for insert to authenticated
  with check (kind = 'time_off' and coach_id = (select private.me()) and (select private.i_am_coach()));
comment on policy coach_blocks_insert_time_off on public.coach_blocks is
  'A coach takes time off. Blocks of sessions come from the sessions alone.';

drop policy if exists coach_blocks_delete_time_off on public.coach_blocks;
create policy coach_blocks_delete_time_off on public.coach_blocks for delete to authenticated
  using (kind = 'time_off' and coach_id = (select private.me()));
comment on policy coach_blocks_delete_time_off on public.coach_blocks is 'A coach gives time off back.';

drop trigger if exists coach_blocks_touch on public.coach_blocks;
create trigger coach_blocks_touch before update on public.coach_blocks
  for each row execute function private.touch_updated_at();

create or replace function private.clear_expired_holds()
returns integer
language plpgsql
security definer
set search_path = ''
as $$
declare
  v_count integer;
begin
  delete from public.coach_blocks where kind = 'hold' and expires_at <= now();
  get diagnostics v_count = row_count;
  return v_count;
end;
$$;
revoke execute on function private.clear_expired_holds() from public, anon, authenticated, service_role;
grant execute on function private.clear_expired_holds() to service_role;
comment on function private.clear_expired_holds() is
  'security definer: the worker''s housekeeping. Booking does not wait for it: it clears what is in its way itself. Gives the number cleared.';

-- Called with every session that was made or changed: keeps its block in step.
create or replace function private.keep_session_block(p_session public.sessions)
returns void
language plpgsql
security definer
set search_path = ''
as $$
declare
  v_during tstzrange;
begin
  if p_session.status in ('scheduled', 'in_progress')
    and p_session.ends_at + make_interval(mins => p_session.buffer_after_minutes) > now() then
    v_during := tstzrange(
      p_session.scheduled_at - make_interval(mins => p_session.buffer_before_minutes),
      p_session.ends_at + make_interval(mins => p_session.buffer_after_minutes));
  end if;
  delete from public.coach_blocks as b
  where b.session_id = p_session.id
    and (v_during is null or b.during <> v_during or b.coach_id <> p_session.coach_id);
  if v_during is null or (not found and exists (select from public.coach_blocks as b where b.session_id = p_session.id)) then
    return;
  end if;
  delete from public.coach_blocks as b
  where b.coach_id = p_session.coach_id and b.kind = 'hold' and b.expires_at <= now() and b.during && v_during;
  -- DO NOTHING waits for whoever is writing the same time and then gives way; a plain insert would deadlock with them.
  insert into public.coach_blocks (coach_id, kind, session_id, during)
  values (p_session.coach_id, 'session', p_session.id, v_during)
  on conflict on constraint coach_blocks_no_overlap do nothing;
  if not found then
    perform private.fail(409, 'slot_taken', 'The coach is taken at that time.');
  end if;
end;
$$;
revoke execute on function private.keep_session_block(public.sessions) from public, anon, authenticated, service_role;
comment on function private.keep_session_block(public.sessions) is
  'security definer: blocks are written by sessions alone. Blocks the coach''s time while a session is ahead or running, refuses when it is taken.';
