create table if not exists public.notification_preferences (
  id uuid not null primary key default gen_random_uuid(),
  user_id uuid not null unique references public.users (id) on delete cascade,
  email_enabled boolean not null default true,
  email_session_reminders boolean not null default true,
  email_session_updates boolean not null default true,
  email_messages boolean not null default true,
  email_system_updates boolean not null default false,
  email_marketing boolean not null default false,
  inapp_enabled boolean not null default true,
  inapp_session_reminders boolean not null default true,
  inapp_session_updates boolean not null default true,
  inapp_messages boolean not null default true,
  inapp_system_updates boolean not null default true,
  push_enabled boolean not null default false,
  push_session_reminders boolean not null default false,
  push_messages boolean not null default false,
  quiet_hours_enabled boolean not null default false,
  quiet_hours_start time default '22:00:00',
  quiet_hours_end time default '08:00:00',
  timezone text default 'UTC',
  digest_frequency text default 'daily',
  created_at timestamptz not null default now(),
  updated_at timestamptz not null default now(),
  constraint notification_preferences_digest_frequency_check check (
    digest_frequency = any (array['immediate'::text, 'hourly'::text, 'daily'::text, 'weekly'::text, 'never'::text])
  ),
  constraint notification_preferences_timezone_check check (timezone is null or private.is_time_zone(timezone))
);
comment on table public.notification_preferences is 'On which channels a person wants to hear of what, and when not. One row each, made with the profile.';

select private.ensure_constraints(
  'public.notification_preferences',
  'notification_preferences_timezone_check check (timezone is null or private.is_time_zone(timezone))');

create index if not exists idx_notification_preferences_user_id on public.notification_preferences (user_id);

revoke all on public.notification_preferences from public, anon, authenticated, service_role;
grant select on public.notification_preferences to authenticated;
grant update (
  email_enabled, email_session_reminders, email_session_updates, email_messages, email_system_updates, email_marketing,
  inapp_enabled, inapp_session_reminders, inapp_session_updates, inapp_messages, inapp_system_updates,
  push_enabled, push_session_reminders, push_messages,
  quiet_hours_enabled, quiet_hours_start, quiet_hours_end, timezone, digest_frequency
) on public.notification_preferences to authenticated;
grant select, insert, update, delete on public.notification_preferences to service_role;
alter table public.notification_preferences enable row level security;

drop policy if exists notification_preferences_select_own on public.notification_preferences;
create policy notification_preferences_select_own on public.notification_preferences for select to authenticated
using (user_id = (select private.me()) or (select private.i_am_admin()));
comment on policy notification_preferences_select_own on public.notification_preferences is 'Everybody reads their own choices; an admin reads all.';
drop policy if exists notification_preferences_update_own on public.notification_preferences;
create policy notification_preferences_update_own on public.notification_preferences for update to authenticated
using (user_id = (select private.me()))
with check (user_id = (select private.me()));
comment on policy notification_preferences_update_own on public.notification_preferences is 'Everybody changes their own choices.';

drop trigger if exists notification_preferences_touch on public.notification_preferences;
create trigger notification_preferences_touch before update on public.notification_preferences
for each row execute function private.touch_updated_at();

create or replace function private.make_notification_preferences()
returns trigger
language plpgsql
security definer
set search_path = ''
as $$
begin
  insert into public.notification_preferences (user_id, timezone) values (new.id, coalesce(new.timezone, 'UTC'))
  on conflict (user_id) do nothing;
  return null;
end;
$$;
comment on function private.make_notification_preferences() is
  'security definer: nobody may insert preferences. Trigger: every profile has its row of choices from the first moment.';
revoke execute on function private.make_notification_preferences() from public, anon, authenticated, service_role;

drop trigger if exists users_make_notification_preferences on public.users;
create trigger users_make_notification_preferences after insert on public.users
for each row execute function private.make_notification_preferences();
