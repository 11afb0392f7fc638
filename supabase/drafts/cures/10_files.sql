-- Policies of file_uploads and file_shares read one another without end, so nobody could read either. The same rights again, through
-- arrays that a statement computes once; who holds a seat in a session sees its files as its coach and client do.
do $$
begin
  if (
    select count(*)
    from (values
      ('file_uploads', 'id'), ('file_uploads', 'user_id'), ('file_uploads', 'session_id'),
      ('file_shares', 'file_id'), ('file_shares', 'shared_by'), ('file_shares', 'shared_with'), ('file_shares', 'expires_at'),
      ('session_files', 'session_id'), ('session_files', 'file_id'), ('session_files', 'uploaded_by')
    ) as needed (tbl, col)
    join pg_attribute as a
      on a.attrelid = to_regclass(format('public.%I', needed.tbl)) and a.attname = needed.col and not a.attisdropped
    join pg_class as c on c.oid = a.attrelid and c.relkind in ('r', 'p') and pg_has_role(current_user, c.relowner, 'member')
  ) < 10 then
    return;
  end if;

  execute $sql$
    create or replace function private.my_file_ids() returns uuid[]
    language sql stable security definer set search_path = '' as $f$
      select coalesce(array_agg(f.id), '{}') from public.file_uploads as f where f.user_id = (select private.me())
    $f$;
    comment on function private.my_file_ids() is
      'security definer: policies of file_shares that read file_uploads under its policies would recurse. The caller''s own files.';
    create or replace function private.my_shared_file_ids() returns uuid[]
    language sql stable security definer set search_path = '' as $f$
      select coalesce(array_agg(h.file_id), '{}') from public.file_shares as h
      where h.shared_with = (select private.me()) and (h.expires_at is null or h.expires_at > now())
    $f$;
    comment on function private.my_shared_file_ids() is
      'security definer: policies of file_uploads that read file_shares under its policies would recurse. Files shared with the caller now.';
    revoke execute on function private.my_file_ids(), private.my_shared_file_ids() from public, anon, authenticated, service_role;
    grant execute on function private.my_file_ids(), private.my_shared_file_ids() to authenticated, service_role;
  $sql$;

  declare
    item record;
  begin
    for item in
      select p.polname, p.polrelid::regclass as tbl from pg_policy as p
      where p.polrelid in ('public.file_uploads'::regclass, 'public.file_shares'::regclass, 'public.session_files'::regclass)
    loop
      execute format('drop policy %I on %s', item.polname, item.tbl);
    end loop;
  end;

  execute $sql$
    revoke all on public.file_uploads, public.file_shares, public.session_files from public, anon;
    create policy file_uploads_owner on public.file_uploads for all to authenticated
      using (user_id = (select private.me())) with check (user_id = (select private.me()));
    create policy file_uploads_shared on public.file_uploads for select to authenticated
      using (id = any ((select private.my_shared_file_ids())::uuid[]));
    create policy file_uploads_session on public.file_uploads for select to authenticated
      using (session_id = any ((select private.my_session_ids())::uuid[]));
    create policy file_uploads_admin on public.file_uploads for all to authenticated using ((select private.i_am_admin()));

    create policy file_shares_people on public.file_shares for select to authenticated
      using (
        shared_by = (select private.me()) or shared_with = (select private.me())
        or file_id = any ((select private.my_file_ids())::uuid[]));
    create policy file_shares_insert_owner on public.file_shares for insert to authenticated
      with check (
        shared_by = (select private.me()) and file_id = any ((select private.my_file_ids())::uuid[])
        and (shared_with = any ((select private.my_client_ids())::uuid[]) or shared_with = any ((select private.my_coach_ids())::uuid[])));
    -- What is shared must stay a file of one's own, or a share could be moved onto somebody else's.
    create policy file_shares_update_sharer on public.file_shares for update to authenticated
      using (shared_by = (select private.me()))
      with check (shared_by = (select private.me()) and file_id = any ((select private.my_file_ids())::uuid[]));
    create policy file_shares_delete_sharer on public.file_shares for delete to authenticated
      using (shared_by = (select private.me()));
    create policy file_shares_admin on public.file_shares for all to authenticated using ((select private.i_am_admin()));

    create policy session_files_people on public.session_files for select to authenticated
      using (session_id = any ((select private.my_session_ids())::uuid[]));
    create policy session_files_insert_people on public.session_files for insert to authenticated
      with check (
        session_id = any ((select private.my_session_ids())::uuid[])
        and (uploaded_by is null or uploaded_by = (select private.me()))
        and (file_id = any ((select private.my_file_ids())::uuid[]) or file_id = any ((select private.my_shared_file_ids())::uuid[])));
    create policy session_files_update_uploader on public.session_files for update to authenticated
      using (uploaded_by = (select private.me()))
      with check (
        uploaded_by = (select private.me()) and session_id = any ((select private.my_session_ids())::uuid[])
        and (file_id = any ((select private.my_file_ids())::uuid[]) or file_id = any ((select private.my_shared_file_ids())::uuid[])));
    create policy session_files_delete_uploader on public.session_files for delete to authenticated
      using (uploaded_by = (select private.me()));
    create policy session_files_coach on public.session_files for all to authenticated
      using (session_id = any ((select private.my_coached_session_ids())::uuid[]))
      with check (
        session_id = any ((select private.my_coached_session_ids())::uuid[])
        and (file_id = any ((select private.my_file_ids())::uuid[]) or file_id = any ((select private.my_shared_file_ids())::uuid[])));
    create policy session_files_admin on public.session_files for all to authenticated using ((select private.i_am_admin()));
  $sql$;
end;
$$;
