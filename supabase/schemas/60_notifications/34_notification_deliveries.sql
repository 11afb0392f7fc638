create table if not exists public.notification_deliveries (
  id uuid primary key default gen_random_uuid(),
  notification_id uuid not null references public.notifications (id) on delete cascade,
  user_id uuid not null references public.users (id) on delete cascade,
  channel public.message_delivery_channel not null,
  topic text not null,
  state text not null default 'pending',
  reason text,
  attempts integer not null default 0,
  next_attempt_at timestamptz,
  lease_until timestamptz,
  provider_id text,
  sent_at timestamptz,
  error_message text,
  created_at timestamptz not null default now(),
  updated_at timestamptz not null default now(),
  constraint notification_deliveries_once_key unique (notification_id, channel),
  constraint notification_deliveries_channel_check check (channel in ('email', 'push')),
  constraint notification_deliveries_state_check check (state in ('pending', 'leased', 'sent', 'failed', 'suppressed')),
  constraint notification_deliveries_due_check check ((state in ('pending', 'leased')) = (next_attempt_at is not null)),
  constraint notification_deliveries_lease_check check ((state = 'leased') = (lease_until is not null)),
  constraint notification_deliveries_sent_check check ((state = 'sent') = (sent_at is not null))
);
comment on table public.notification_deliveries is
  'A notice on its way by mail or to devices, and what became of it. The open rows are the worker''s queue.';
comment on column public.notification_deliveries.topic is 'The choice that switches it off: <channel>_<topic>.';
comment on column public.notification_deliveries.reason is
  'Why it failed or was not tried: preference_off, no_email, address_suppressed, no_subscription, inactive, read, moved, cancelled, left, too_late, bounced, address_refused, or the provider''s word.';

create index if not exists notification_deliveries_user_idx on public.notification_deliveries (user_id);
create index if not exists notification_deliveries_due_idx
  on public.notification_deliveries (next_attempt_at) where state in ('pending', 'leased');

revoke all on public.notification_deliveries from public, anon, authenticated, service_role;
grant select on public.notification_deliveries to authenticated;
grant select, insert, update, delete on public.notification_deliveries to service_role;
alter table public.notification_deliveries enable row level security;

drop policy if exists notification_deliveries_select_own on public.notification_deliveries;
create policy notification_deliveries_select_own on public.notification_deliveries for select to authenticated
using (user_id = (select private.me()) or (select private.i_am_admin()));
comment on policy notification_deliveries_select_own on public.notification_deliveries is
  'Everybody sees what became of what they were to be told; an admin sees all.';

drop trigger if exists notification_deliveries_touch on public.notification_deliveries;
create trigger notification_deliveries_touch before update on public.notification_deliveries
for each row execute function private.touch_updated_at();

create or replace function private.notice_quiet_until(p_user_id uuid, p_expires_at timestamptz, p_now timestamptz default now())
returns timestamptz
language sql
stable
security definer
set search_path = ''
as $$
  -- Quiet hours put off, they drop nothing. What would be pointless by their end, a reminder of a session in the morning,
  -- comes at once.
  select case when q.until_at < coalesce(p_expires_at, 'infinity') then q.until_at end
  from (select private.quiet_until(p_user_id, p_now) as until_at) as q
$$;
comment on function private.notice_quiet_until(uuid, timestamptz, timestamptz) is
  'security definer: reads somebody''s quiet hours. Until when a notice waits; null when it goes out now.';
revoke execute on function private.notice_quiet_until(uuid, timestamptz, timestamptz) from public, anon, authenticated, service_role;
grant execute on function private.notice_quiet_until(uuid, timestamptz, timestamptz) to service_role;

create or replace function private.notice_refusal(p_delivery_id uuid, p_now timestamptz default now())
returns text
language plpgsql
stable
security definer
set search_path = ''
as $$
declare
  d record;
begin
  select x.*, n.read_at, n.expires_at, n.data, u.status, u.email into d
  from public.notification_deliveries as x
  join public.notifications as n on n.id = x.notification_id
  join public.users as u on u.id = x.user_id
  where x.id = p_delivery_id;
  return case
    when d.status <> 'active' then 'inactive'
    when d.channel = 'email' and (d.email = '' or d.email like '%.invalid') then 'no_email'
    when d.channel = 'email' and private.is_suppressed(d.email) then 'address_suppressed'
    when d.channel = 'push' and not exists (
      select from public.push_subscriptions as s where s.user_id = d.user_id and s.retired_at is null
    ) then 'no_subscription'
    when not private.wants(d.user_id, d.channel::text, d.topic) then 'preference_off'
    when d.read_at is not null then 'read'
    when d.expires_at <= p_now then 'too_late'
    when d.topic = 'session_reminders' then private.reminder_refusal(d.user_id, d.data)
  end;
end;
$$;
comment on function private.notice_refusal(uuid, timestamptz) is
  'security definer: reads addresses, choices and sessions of others. Why a notice must not go out now; null when it may. Asked when it is planned and again just before it is sent.';
revoke execute on function private.notice_refusal(uuid, timestamptz) from public, anon, authenticated, service_role;
grant execute on function private.notice_refusal(uuid, timestamptz) to service_role;
