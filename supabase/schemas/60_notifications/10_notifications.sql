create table if not exists public.notifications (
  id uuid not null primary key default gen_random_uuid(),
  user_id uuid not null references public.users (id) on delete cascade,
  type public.notification_type not null,
  title text not null,
  message text not null,
  data jsonb,
  read_at timestamptz,
  scheduled_for timestamptz,
  sent_at timestamptz,
  created_at timestamptz not null default now(),
  channel text default 'inapp',
  priority text default 'normal',
  expires_at timestamptz,
  action_url text,
  action_label text,
  template_id uuid,
  constraint notifications_channel_check check (channel = any (array['email'::text, 'inapp'::text, 'push'::text])),
  constraint notifications_priority_check check (
    priority = any (array['low'::text, 'normal'::text, 'high'::text, 'urgent'::text])
  )
);
comment on table public.notifications is 'What a person is told in Loom. Written by the database and the service, read and put away by the person.';
comment on column public.notifications.channel is 'inapp here, in_app in message deliveries: both spellings are older than this schema''s wish for one.';

create index if not exists idx_notifications_channel on public.notifications (channel);
create index if not exists idx_notifications_expires_at on public.notifications (expires_at);
create index if not exists idx_notifications_priority on public.notifications (priority);
create index if not exists idx_notifications_read_at on public.notifications (read_at);
create index if not exists idx_notifications_scheduled_for on public.notifications (scheduled_for);
create index if not exists idx_notifications_template_id_fk on public.notifications (template_id);
create index if not exists idx_notifications_type_channel_created on public.notifications (type, channel, created_at);
create index if not exists idx_notifications_user_id on public.notifications (user_id);
create index if not exists idx_notifications_user_unread on public.notifications (user_id, read_at) where read_at is null;
create index if not exists notifications_user_id_created_at_idx on public.notifications (user_id, created_at desc, id desc);

revoke all on public.notifications from public, anon, authenticated, service_role;
grant select, delete on public.notifications to authenticated;
grant update (read_at) on public.notifications to authenticated;
grant select, insert, update, delete on public.notifications to service_role;
alter table public.notifications enable row level security;

drop policy if exists notifications_select_own on public.notifications;
create policy notifications_select_own on public.notifications for select to authenticated
using (user_id = (select private.me()) or (select private.i_am_admin()));
comment on policy notifications_select_own on public.notifications is 'Everybody reads what they were told; an admin reads all.';
drop policy if exists notifications_update_own on public.notifications;
create policy notifications_update_own on public.notifications for update to authenticated
using (user_id = (select private.me()))
with check (user_id = (select private.me()));
comment on policy notifications_update_own on public.notifications is 'Everybody marks their own as read, or unread again.';
drop policy if exists notifications_delete_own on public.notifications;
create policy notifications_delete_own on public.notifications for delete to authenticated
using (user_id = (select private.me()));
comment on policy notifications_delete_own on public.notifications is 'Everybody puts away their own.';

create or replace function private.notify(
  p_user_id uuid,
  p_type public.notification_type,
  p_title text,
  p_message text,
  p_data jsonb default null,
  p_action_url text default null
)
returns uuid
language sql
security definer
set search_path = ''
as $$
  insert into public.notifications (user_id, type, title, message, data, action_url, sent_at)
  select u.id, p_type, left(p_title, 300), left(p_message, 2000), p_data, p_action_url, now()
  from public.users as u
  where u.id = p_user_id and u.status = 'active'
  returning id
$$;
comment on function private.notify(uuid, public.notification_type, text, text, jsonb, text) is
  'security definer: nobody may insert notifications. Tells a person something in Loom; called by other definer functions and the service.';
revoke execute on function private.notify(uuid, public.notification_type, text, text, jsonb, text)
from public, anon, authenticated, service_role;
grant execute on function private.notify(uuid, public.notification_type, text, text, jsonb, text) to service_role;
