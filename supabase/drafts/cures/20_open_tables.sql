-- Tables beside the three domains that anybody could write: policies whose condition is simply true, and ratings without any.
do $$
declare
-- @include beside_tables
  item record;
begin
  for item in
    select p.polname, p.polrelid::regclass as tbl
    from pg_policy as p
    join pg_class as c on c.oid = p.polrelid
    where c.relnamespace = 'public'::regnamespace and c.relname = any (beside_tables) and p.polpermissive and p.polcmd <> 'r'
      and pg_has_role(current_user, c.relowner, 'member')
      and coalesce(pg_get_expr(p.polqual, p.polrelid), 'true') = 'true'
      and coalesce(pg_get_expr(p.polwithcheck, p.polrelid), 'true') = 'true'
  loop
    execute format('drop policy %I on %s', item.polname, item.tbl);
  end loop;

  -- Whoever asks for a session could say that the coach had approved it.
  if (
    select count(*)
    from pg_attribute as a
    join pg_class as c on c.oid = a.attrelid
    where c.oid = to_regclass('public.session_requests') and a.attname in ('coach_id', 'client_id', 'status', 'session_id')
      and not a.attisdropped and c.relkind = 'r' and pg_has_role(current_user, c.relowner, 'member')
  ) = 4 then
    drop policy if exists session_requests_begin_pending on public.session_requests;
    create policy session_requests_begin_pending on public.session_requests as restrictive for insert to authenticated
      with check (
        coach_id <> client_id
        and (coach_id = (select private.me()) or (status::text = 'pending' and session_id is null)));
  end if;

  -- Who delivers writes this log, and that is the service.
  if exists (
    select from pg_class as c
    where c.oid = to_regclass('public.notification_delivery_logs') and pg_has_role(current_user, c.relowner, 'member')
  ) then
    revoke insert, update, delete, truncate on public.notification_delivery_logs from public, anon, authenticated;
  end if;

  for item in
    select c.oid::regclass as tbl, c.relname,
      (select count(*) from pg_attribute as a where a.attrelid = c.oid and a.attname in ('coach_id', 'client_id', 'session_id')) as known
    from pg_class as c
    where c.relnamespace = 'public'::regnamespace and c.relname = any (beside_tables) and c.relkind = 'r'
      and not c.relrowsecurity and pg_has_role(current_user, c.relowner, 'member')
  loop
    execute format('alter table %s enable row level security', item.tbl);
    execute format('revoke all on %s from public, anon', item.tbl);
    if item.relname = 'session_ratings' and item.known = 3 then
      create policy session_ratings_client on public.session_ratings for all to authenticated
        using (client_id = (select private.me()))
        with check (
          client_id = (select private.me()) and session_id = any ((select private.my_seat_session_ids())::uuid[])
          and coach_id = any ((select private.my_coach_ids())::uuid[]));
      create policy session_ratings_coach on public.session_ratings for select to authenticated
        using (coach_id = (select private.me()) or (select private.i_am_admin()));
    end if;
  end loop;
end;
$$;
