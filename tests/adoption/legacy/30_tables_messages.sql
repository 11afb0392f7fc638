-- Analytics of messages, templates of notifications and the delivery log that anybody could write.

create table public.message_analytics_events (
  id uuid primary key default gen_random_uuid(),
  event_type text not null,
  message_id uuid not null references public.messages (id) on delete cascade,
  conversation_id uuid not null references public.conversations (id) on delete cascade,
  user_id uuid not null references public.users (id) on delete cascade,
  metadata jsonb default '{}',
  created_at timestamptz default now(),
  constraint message_analytics_events_event_type_check
    check (event_type in ('sent', 'delivered', 'read', 'reacted', 'replied'))
);
create index idx_analytics_events_conversation_id on public.message_analytics_events (conversation_id);
create index idx_analytics_events_message_id on public.message_analytics_events (message_id);
create index idx_analytics_events_type_created on public.message_analytics_events (event_type, created_at);
create index idx_analytics_events_user_id on public.message_analytics_events (user_id);
alter table public.message_analytics_events enable row level security;

create table public.message_analytics_daily (
  id uuid primary key default gen_random_uuid(),
  date date not null,
  user_id uuid references public.users (id) on delete cascade,
  conversation_id uuid references public.conversations (id) on delete cascade,
  messages_sent integer default 0,
  messages_received integer default 0,
  messages_read integer default 0,
  reactions_added integer default 0,
  replies_sent integer default 0,
  avg_response_time_seconds integer,
  created_at timestamptz default now(),
  updated_at timestamptz default now(),
  constraint message_analytics_daily_date_user_id_conversation_id_key unique (date, user_id, conversation_id)
);
create index idx_analytics_daily_date on public.message_analytics_daily (date);
create index idx_analytics_daily_user_date on public.message_analytics_daily (user_id, date);
alter table public.message_analytics_daily enable row level security;

create table public.notification_templates (
  id uuid primary key default gen_random_uuid(),
  type public.notification_type not null,
  language public.language not null default 'en',
  channel text not null default 'inapp',
  title text not null,
  body text not null,
  created_at timestamptz default now(),
  constraint notification_templates_channel_check check (channel in ('email', 'inapp', 'push'))
);
alter table public.notification_templates enable row level security;
alter table public.notifications
  add constraint notifications_template_id_fkey foreign key (template_id) references public.notification_templates (id);

create table public.notification_delivery_logs (
  id uuid primary key default gen_random_uuid(),
  notification_id uuid not null references public.notifications (id) on delete cascade,
  channel text not null,
  status text not null default 'pending',
  sent_at timestamptz,
  delivered_at timestamptz,
  opened_at timestamptz,
  clicked_at timestamptz,
  failed_at timestamptz,
  error_message text,
  error_code text,
  provider_id text,
  provider_response jsonb,
  created_at timestamptz default now(),
  updated_at timestamptz default now(),
  constraint notification_delivery_logs_channel_check check (channel in ('email', 'inapp', 'push')),
  constraint notification_delivery_logs_status_check
    check (status in ('pending', 'sent', 'delivered', 'failed', 'bounced', 'opened', 'clicked'))
);
create index idx_notification_delivery_logs_channel on public.notification_delivery_logs (channel);
create index idx_notification_delivery_logs_notification_id on public.notification_delivery_logs (notification_id);
create index idx_notification_delivery_logs_sent_at on public.notification_delivery_logs (sent_at);
create index idx_notification_delivery_logs_status on public.notification_delivery_logs (status);
alter table public.notification_delivery_logs enable row level security;
