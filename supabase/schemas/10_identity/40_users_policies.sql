drop policy if exists users_select_own on public.users;
create policy users_select_own on public.users for select to authenticated
using (id = (select private.me()));
comment on policy users_select_own on public.users is 'Everybody reads their own profile.';

drop policy if exists users_select_admin on public.users;
create policy users_select_admin on public.users for select to authenticated
using ((select private.i_am_admin()));
comment on policy users_select_admin on public.users is 'An admin reads every profile.';

drop policy if exists users_update_own on public.users;
create policy users_update_own on public.users for update to authenticated
using (id = (select private.me()))
with check (id = (select private.me()));
comment on policy users_update_own on public.users is
  'Everybody changes their own profile: names, phone, picture, zone and language. Role, state and address are not granted.';
