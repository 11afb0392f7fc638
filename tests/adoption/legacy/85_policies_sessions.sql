-- Policies around people, sessions, money and files. Nearly all say `to public`, some read the role from the token, and those of
-- file_uploads and file_shares read each other without end.

create policy "Users can view own profile" on public.users for select using (auth.uid() = id);
create policy "Users can update own profile" on public.users for update using (auth.uid() = id);
create policy "Coaches can view their clients" on public.users for select
using (exists (select from public.sessions as s where s.coach_id = auth.uid() and s.client_id = users.id));
create policy "Clients can view their coaches" on public.users for select
using (exists (select from public.sessions as s where s.client_id = auth.uid() and s.coach_id = users.id));
create policy "Admins can do anything with users" on public.users for all using ((auth.jwt() ->> 'role') = 'admin');

create policy "Users can view own sessions" on public.sessions for select
using (auth.uid() in (coach_id, client_id) or (auth.jwt() ->> 'role') = 'admin');
create policy "Coaches can create sessions" on public.sessions for insert
with check (auth.uid() = coach_id and exists (select from public.users as u where u.id = auth.uid() and u.role = 'coach'));
create policy "Users can update own sessions" on public.sessions for update
using (auth.uid() in (coach_id, client_id) or (auth.jwt() ->> 'role') = 'admin');
create policy "Coaches can delete sessions" on public.sessions for delete
using (auth.uid() = coach_id or (auth.jwt() ->> 'role') = 'admin');

create policy "Coaches can view own notes" on public.coach_notes for select
using (auth.uid() = coach_id or (auth.jwt() ->> 'role') = 'admin');
create policy "Clients can view shared notes" on public.coach_notes for select
using (auth.uid() = client_id and privacy_level = 'shared_with_client');
create policy "Coaches can write notes" on public.coach_notes for insert
with check (
  auth.uid() = coach_id and exists (select from public.users as u where u.id = auth.uid() and u.role = 'coach')
  and exists (select from public.sessions as s where s.coach_id = auth.uid() and s.client_id = coach_notes.client_id));
create policy "Coaches can update own notes" on public.coach_notes for update using (auth.uid() = coach_id);
create policy "Coaches can delete own notes" on public.coach_notes for delete using (auth.uid() = coach_id);

-- Any coach the client ever had.
create policy "Coaches can view reflections of clients" on public.reflections for select
using (exists (select from public.sessions as s where s.coach_id = auth.uid() and s.client_id = reflections.client_id));
create policy "Clients can view own reflections" on public.reflections for select
using (auth.uid() = client_id or (auth.jwt() ->> 'role') = 'admin');
create policy "Clients can write reflections" on public.reflections for insert
with check (auth.uid() = client_id and exists (select from public.users as u where u.id = auth.uid() and u.role = 'client'));
create policy "Clients can update own reflections" on public.reflections for update using (auth.uid() = client_id);
create policy "Clients can delete own reflections" on public.reflections for delete using (auth.uid() = client_id);

create policy "Anyone can view availability" on public.coach_availability for select using (true);
create policy "Coaches manage own availability" on public.coach_availability for all
using (auth.uid() = coach_id and (auth.jwt() ->> 'role') = 'coach');
create policy "Admins manage availability" on public.coach_availability for all using ((auth.jwt() ->> 'role') = 'admin');

create policy "Users can view own payments" on public.payments for select using (auth.uid() = user_id);
create policy payments_no_write on public.payments for all using (false);

create policy "Own profile of a coach" on public.coach_profiles for all using (auth.uid() = coach_id);
create policy "Clients can view profiles of their coaches" on public.coach_profiles for select
using (exists (select from public.sessions as s where s.client_id = auth.uid() and s.coach_id = coach_profiles.coach_id));
create policy "Admins manage profiles" on public.coach_profiles for all
using (exists (select from public.users as u where u.id = auth.uid() and u.role = 'admin'));

create policy "Owners manage files" on public.file_uploads for all
using (auth.uid() = user_id) with check (auth.uid() = user_id and auth.role() = 'authenticated');
create policy "Files shared with me" on public.file_uploads for select
using (exists (
  select from public.file_shares as h
  where h.file_id = file_uploads.id and h.shared_with = auth.uid() and (h.expires_at is null or h.expires_at > now())));
create policy "Files of my sessions" on public.file_uploads for select
using (session_id is not null and exists (
  select from public.sessions as s where s.id = file_uploads.session_id and auth.uid() in (s.coach_id, s.client_id)));
create policy "Admins manage files" on public.file_uploads for all
using (exists (select from public.users as u where u.id = auth.uid() and u.role = 'admin'));
create policy "Shares that concern me" on public.file_shares for select
using (auth.uid() in (shared_by, shared_with)
  or exists (select from public.file_uploads as f where f.id = file_shares.file_id and f.user_id = auth.uid()));
create policy "Owners can share" on public.file_shares for insert
with check (
  auth.uid() = shared_by
  and exists (select from public.file_uploads as f where f.id = file_shares.file_id and f.user_id = auth.uid())
  and exists (
    select from public.sessions as s
    where (shared_by, shared_with) in ((s.coach_id, s.client_id), (s.client_id, s.coach_id))));
create policy "Sharers can change shares" on public.file_shares for update using (auth.uid() = shared_by);
create policy "Sharers can take shares back" on public.file_shares for delete using (auth.uid() = shared_by);

create policy "Participants can view session files" on public.session_files for select
using (exists (select from public.sessions as s where s.id = session_files.session_id and auth.uid() in (s.coach_id, s.client_id)));
create policy "Participants can attach files" on public.session_files for insert
with check (
  exists (select from public.sessions as s where s.id = session_files.session_id and auth.uid() in (s.coach_id, s.client_id))
  and exists (select from public.file_uploads as f where f.id = session_files.file_id and (
    f.user_id = auth.uid()
    or exists (select from public.file_shares as h where h.file_id = f.id and h.shared_with = auth.uid()))));
create policy "Uploaders can change session files" on public.session_files for update using (auth.uid() = uploaded_by);
create policy "Uploaders can take session files back" on public.session_files for delete using (auth.uid() = uploaded_by);
create policy "Coaches manage files of their sessions" on public.session_files for all
using (exists (select from public.sessions as s where s.id = session_files.session_id and s.coach_id = auth.uid()));
create policy "Admins manage session files" on public.session_files for all
using (exists (select from public.users as u where u.id = auth.uid() and u.role = 'admin'));

create policy "Clients manage own feedback" on public.session_feedback for all using (auth.uid() = client_id);
create policy "Coaches can view feedback" on public.session_feedback for select using (auth.uid() = coach_id);

create policy "People of a request can view it" on public.session_requests for select
using (auth.uid() in (coach_id, client_id, requested_by));
create policy "Clients can ask" on public.session_requests for insert
with check (auth.uid() = client_id and auth.uid() = requested_by);
create policy "Coaches manage requests" on public.session_requests for all using (auth.uid() = coach_id);

create policy "Own tasks" on public.tasks for all using (auth.uid() in (coach_id, client_id));
create policy "Own methods" on public.user_mfa_methods for all using (auth.uid() = user_id);
create policy "Admins read the log" on public.security_audit_log for select using ((auth.jwt() ->> 'role') = 'admin');
