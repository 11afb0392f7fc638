-- Policies of notifications and conversations: the delivery log is open, the participants' policy reads its own table.

create policy "Own notifications" on public.notifications for select using (auth.uid() = user_id);
create policy "Change own notifications" on public.notifications for update using (auth.uid() = user_id);
create policy "Delete own notifications" on public.notifications for delete using (auth.uid() = user_id);
create policy "Notify oneself" on public.notifications for insert
with check (auth.uid() = user_id or (auth.jwt() ->> 'role') = 'admin');
create policy "Notify others" on public.notifications for insert
with check (auth.role() = 'service_role' or public.can_send_notification(auth.uid(), user_id, type));
create policy "Own preferences" on public.notification_preferences for select using (auth.uid() = user_id);
create policy "Make own preferences" on public.notification_preferences for insert with check (auth.uid() = user_id);
create policy "Change own preferences" on public.notification_preferences for update using (auth.uid() = user_id);
create policy "Templates are readable" on public.notification_templates for select using (auth.role() = 'authenticated');

create policy "Own delivery logs" on public.notification_delivery_logs for select
using (
  exists (select from public.notifications as n where n.id = notification_id and n.user_id = auth.uid())
  or exists (select from public.users as u where u.id = auth.uid() and u.role = 'admin'));
create policy "System can insert delivery logs" on public.notification_delivery_logs for insert with check (true);
create policy "System can update delivery logs" on public.notification_delivery_logs for update using (true);

create policy "Participants can view conversations" on public.conversations for select
using (exists (
  select from public.conversation_participants as p
  where p.conversation_id = conversations.id and p.user_id = auth.uid() and p.left_at is null));
create policy "Users can create conversations" on public.conversations for insert with check (auth.uid() = created_by);
create policy "Participants can update conversations" on public.conversations for update
using (auth.uid() = created_by or exists (
  select from public.conversation_participants as p where p.conversation_id = conversations.id and p.user_id = auth.uid()));
create policy "Admins manage conversations" on public.conversations for all
using (exists (select from public.users as u where u.id = auth.uid() and u.role = 'admin'));

create policy "Participants can view participants" on public.conversation_participants for select
using (user_id = auth.uid() or exists (
  select from public.conversation_participants as p
  where p.conversation_id = conversation_participants.conversation_id and p.user_id = auth.uid()));
create policy "People can join" on public.conversation_participants for insert
with check (
  user_id = auth.uid()
  or exists (
    select from public.sessions as s where s.coach_id = auth.uid() and s.client_id = conversation_participants.user_id));
create policy "Change own participation" on public.conversation_participants for update using (user_id = auth.uid());
create policy "Admins manage participants" on public.conversation_participants for all
using (exists (select from public.users as u where u.id = auth.uid() and u.role = 'admin'));

create policy "Participants can view messages" on public.messages for select
using (exists (
  select from public.conversation_participants as p
  where p.conversation_id = messages.conversation_id and p.user_id = auth.uid() and p.left_at is null));
create policy "Participants can send messages" on public.messages for insert
with check (sender_id = auth.uid() and exists (
  select from public.conversation_participants as p
  where p.conversation_id = messages.conversation_id and p.user_id = auth.uid() and p.left_at is null));
create policy "Change own messages" on public.messages for update using (sender_id = auth.uid());
create policy "Delete own messages" on public.messages for delete using (sender_id = auth.uid());
create policy "Admins manage messages" on public.messages for all
using (exists (select from public.users as u where u.id = auth.uid() and u.role = 'admin'));

create policy "Own reactions" on public.message_reactions for all using (user_id = auth.uid());
create policy "Participants can view reactions" on public.message_reactions for select
using (exists (
  select from public.messages as m
  join public.conversation_participants as p on p.conversation_id = m.conversation_id
  where m.id = message_id and p.user_id = auth.uid()));
create policy "Participants can view attachments" on public.message_attachments for select
using (exists (
  select from public.messages as m
  join public.conversation_participants as p on p.conversation_id = m.conversation_id
  where m.id = message_id and p.user_id = auth.uid()));
create policy "Senders manage attachments" on public.message_attachments for all
using (exists (select from public.messages as m where m.id = message_id and m.sender_id = auth.uid()));
create policy "Own receipts" on public.message_read_receipts for all using (user_id = auth.uid());
create policy "Participants can view receipts" on public.message_read_receipts for select
using (exists (
  select from public.messages as m
  join public.conversation_participants as p on p.conversation_id = m.conversation_id
  where m.id = message_id and p.user_id = auth.uid()));
create policy "Own typing" on public.typing_indicators for all using (user_id = auth.uid());
create policy "Participants can view typing" on public.typing_indicators for select
using (exists (
  select from public.conversation_participants as p
  where p.conversation_id = typing_indicators.conversation_id and p.user_id = auth.uid()));

create policy "Own analytics" on public.message_analytics_events for select
using (user_id = auth.uid() or exists (select from public.users as u where u.id = auth.uid() and u.role = 'admin'));
create policy "Own daily analytics" on public.message_analytics_daily for select
using (user_id = auth.uid() or exists (select from public.users as u where u.id = auth.uid() and u.role = 'admin'));
