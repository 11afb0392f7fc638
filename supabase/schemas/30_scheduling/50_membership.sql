-- Who takes part in which session, and the policies of sessions that ask it.

create or replace function private.my_seat_session_ids()
returns uuid[]
language sql
stable
security definer
set search_path = ''
as $$
  select coalesce(array_agg(a.session_id), '{}')
  from public.session_attendees as a
  where a.user_id = private.me() and a.role <> 'coach' and a.cancelled_at is null;
$$;
revoke execute on function private.my_seat_session_ids() from public, anon, authenticated, service_role;
grant execute on function private.my_seat_session_ids() to authenticated, service_role;
comment on function private.my_seat_session_ids() is
  'security definer: a policy that read session_attendees under its own policies would recurse. Sessions in which the caller holds a seat, the coach''s own apart.';

create or replace function private.my_coached_session_ids()
returns uuid[]
language sql
stable
security definer
set search_path = ''
as $$
  select coalesce(array_agg(s.id), '{}') from public.sessions as s where s.coach_id = private.me();
$$;
revoke execute on function private.my_coached_session_ids() from public, anon, authenticated, service_role;
grant execute on function private.my_coached_session_ids() to authenticated, service_role;
comment on function private.my_coached_session_ids() is
  'security definer: for policies of other tables, which must not read sessions under its policies. Sessions that the caller coaches.';

create or replace function private.my_session_ids()
returns uuid[]
language sql
stable
security definer
set search_path = ''
as $$
  select private.my_coached_session_ids() || private.my_seat_session_ids();
$$;
revoke execute on function private.my_session_ids() from public, anon, authenticated, service_role;
grant execute on function private.my_session_ids() to authenticated, service_role;
comment on function private.my_session_ids() is
  'security definer: for policies of other tables, which must not read sessions under its policies. Sessions that the caller coaches or holds a seat in.';

drop policy if exists sessions_select_people on public.sessions;
create policy sessions_select_people on public.sessions for select to authenticated
  using (
    coach_id = (select private.me())
    or client_id = (select private.me())
    or id = any ((select private.my_seat_session_ids())::uuid[])
    or (select private.i_am_admin())
  );
comment on policy sessions_select_people on public.sessions is
  'The coach, the client and everybody with a seat see the session. The coach is matched by column, since the array of a coach''s sessions grows without end.';

drop policy if exists sessions_insert_coach on public.sessions;
create policy sessions_insert_coach on public.sessions for insert to authenticated
  with check (coach_id = (select private.me()) and (select private.i_am_coach()));
comment on policy sessions_insert_coach on public.sessions is
  'A coach makes sessions of their own; triggers hold them to the rules. Clients book through book_session.';

drop policy if exists sessions_update_coach on public.sessions;
create policy sessions_update_coach on public.sessions for update to authenticated
  using (coach_id = (select private.me()))
  with check (coach_id = (select private.me()));
comment on policy sessions_update_coach on public.sessions is
  'A coach changes what is said about a session. Its time and status move through functions; clients write nothing.';
