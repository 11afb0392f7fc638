-- The tables that Loom grew from: people, sessions, notes, hours, notifications, messages, payments. On an empty database they are
-- made here, in the shape they always had; the next migration takes them from there. On a database that has them nothing is
-- changed: their shape is checked, and every difference that matters stops the migration in one message.
select set_config('lock_timeout', coalesce(nullif(current_setting('loom.lock_timeout', true), ''), '4s'), true);

-- What a person decided about old data: written before the next migration runs, which reads it. Made here, because that one
-- leaves nothing behind when it stops.
create schema if not exists private;
create table if not exists private.adoption_decisions (
  kind text not null,
  key text not null,
  value text not null,
  created_at timestamptz not null default now(),
  primary key (kind, key)
);
alter table private.adoption_decisions enable row level security;

do $$
declare
  problems text[] := '{}';
  item record;
  missing text[];
begin
  if to_regclass('auth.users') is null then
    raise exception 'Loom needs a table auth.users: on Supabase it is there; on plain PostgreSQL run "loom db migrate", which brings it.';
  end if;

  for item in
    select *
    from (values
      ('user_role', array['client', 'coach', 'admin']),
      ('user_status', array['active', 'inactive', 'suspended']),
      ('language', array['en', 'he']),
      ('session_status', array['scheduled', 'in_progress', 'completed', 'cancelled', 'rescheduled', 'no_show']),
      ('privacy_level', array['private', 'shared_with_client']),
      ('notification_type', array[
        'session_reminder', 'session_confirmation', 'new_message', 'system_update', 'welcome_message', 'goal_achieved',
        'appointment_reminder', 'coach_message', 'client_message', 'session_cancelled', 'session_rescheduled',
        'reflection_reminder', 'system_announcement', 'payment_reminder']),
      ('conversation_type', array['direct', 'group']),
      ('message_type', array['text', 'file', 'system']),
      ('message_status', array['sent', 'delivered', 'read']),
      ('attachment_type', array['image', 'document', 'video', 'audio', 'other'])
    ) as wanted (name, labels)
  loop
    if to_regtype(format('public.%I', item.name)) is null then
      execute format(
        'create type public.%I as enum (%s)',
        item.name,
        (select string_agg(quote_literal(label), ', ' order by place) from unnest(item.labels) with ordinality as l (label, place)));
    else
      select array_agg(label) into missing
      from unnest(item.labels) as label
      where not exists (
        select from pg_enum as e where e.enumtypid = to_regtype(format('public.%I', item.name)) and e.enumlabel = label);
      if missing is not null then
        problems := problems || format('enum %s lacks %s', item.name, array_to_string(missing, ', '));
      end if;
    end if;
  end loop;

  for item in
    select wanted.*, c.oid as relation, c.relkind, a.atttypid, a.atttypmod
    from (values
      ('users', 'id', 'uuid'),
      ('users', 'email', 'text'),
      ('users', 'role', 'public.user_role'),
      ('users', 'first_name', 'text'),
      ('users', 'last_name', 'text'),
      ('users', 'phone', 'text'),
      ('users', 'avatar_url', 'text'),
      ('users', 'timezone', 'text'),
      ('users', 'language', 'public.language'),
      ('users', 'status', 'public.user_status'),
      ('users', 'created_at', 'timestamptz'),
      ('users', 'updated_at', 'timestamptz'),
      ('users', 'last_seen_at', 'timestamptz'),
      ('users', 'mfa_enabled', 'boolean'),
      ('users', 'mfa_secret', 'text'),
      ('users', 'mfa_backup_codes', 'text[]'),
      ('users', 'mfa_verified_at', 'timestamptz'),
      ('users', 'mfa_setup_completed', 'boolean'),
      ('users', 'remember_device_enabled', 'boolean'),
      ('sessions', 'id', 'uuid'),
      ('sessions', 'coach_id', 'uuid'),
      ('sessions', 'client_id', 'uuid'),
      ('sessions', 'title', 'text'),
      ('sessions', 'description', 'text'),
      ('sessions', 'scheduled_at', 'timestamptz'),
      ('sessions', 'duration_minutes', 'integer'),
      ('sessions', 'status', 'public.session_status'),
      ('sessions', 'meeting_url', 'text'),
      ('sessions', 'notes', 'text'),
      ('sessions', 'created_at', 'timestamptz'),
      ('sessions', 'updated_at', 'timestamptz'),
      ('coach_notes', 'id', 'uuid'),
      ('coach_notes', 'coach_id', 'uuid'),
      ('coach_notes', 'client_id', 'uuid'),
      ('coach_notes', 'session_id', 'uuid'),
      ('coach_notes', 'title', 'text'),
      ('coach_notes', 'content', 'text'),
      ('coach_notes', 'privacy_level', 'public.privacy_level'),
      ('coach_notes', 'tags', 'text[]'),
      ('coach_notes', 'created_at', 'timestamptz'),
      ('coach_notes', 'updated_at', 'timestamptz'),
      ('reflections', 'id', 'uuid'),
      ('reflections', 'client_id', 'uuid'),
      ('reflections', 'session_id', 'uuid'),
      ('reflections', 'content', 'text'),
      ('reflections', 'mood_rating', 'integer'),
      ('reflections', 'insights', 'text'),
      ('reflections', 'goals_for_next_session', 'text'),
      ('reflections', 'created_at', 'timestamptz'),
      ('reflections', 'updated_at', 'timestamptz'),
      ('coach_availability', 'id', 'uuid'),
      ('coach_availability', 'coach_id', 'uuid'),
      ('coach_availability', 'day_of_week', 'integer'),
      ('coach_availability', 'start_time', 'time'),
      ('coach_availability', 'end_time', 'time'),
      ('coach_availability', 'is_available', 'boolean'),
      ('coach_availability', 'timezone', 'text'),
      ('coach_availability', 'created_at', 'timestamptz'),
      ('coach_availability', 'updated_at', 'timestamptz'),
      ('coach_availability', 'buffer_before_minutes', 'integer'),
      ('coach_availability', 'buffer_after_minutes', 'integer'),
      ('coach_availability', 'max_bookings_per_slot', 'integer'),
      ('notifications', 'id', 'uuid'),
      ('notifications', 'user_id', 'uuid'),
      ('notifications', 'type', 'public.notification_type'),
      ('notifications', 'title', 'text'),
      ('notifications', 'message', 'text'),
      ('notifications', 'data', 'jsonb'),
      ('notifications', 'read_at', 'timestamptz'),
      ('notifications', 'scheduled_for', 'timestamptz'),
      ('notifications', 'sent_at', 'timestamptz'),
      ('notifications', 'created_at', 'timestamptz'),
      ('notifications', 'channel', 'text'),
      ('notifications', 'priority', 'text'),
      ('notifications', 'expires_at', 'timestamptz'),
      ('notifications', 'action_url', 'text'),
      ('notifications', 'action_label', 'text'),
      ('notifications', 'template_id', 'uuid'),
      ('notification_preferences', 'id', 'uuid'),
      ('notification_preferences', 'user_id', 'uuid'),
      ('notification_preferences', 'email_enabled', 'boolean'),
      ('notification_preferences', 'email_session_reminders', 'boolean'),
      ('notification_preferences', 'email_session_updates', 'boolean'),
      ('notification_preferences', 'email_messages', 'boolean'),
      ('notification_preferences', 'email_system_updates', 'boolean'),
      ('notification_preferences', 'email_marketing', 'boolean'),
      ('notification_preferences', 'inapp_enabled', 'boolean'),
      ('notification_preferences', 'inapp_session_reminders', 'boolean'),
      ('notification_preferences', 'inapp_session_updates', 'boolean'),
      ('notification_preferences', 'inapp_messages', 'boolean'),
      ('notification_preferences', 'inapp_system_updates', 'boolean'),
      ('notification_preferences', 'push_enabled', 'boolean'),
      ('notification_preferences', 'push_session_reminders', 'boolean'),
      ('notification_preferences', 'push_messages', 'boolean'),
      ('notification_preferences', 'quiet_hours_enabled', 'boolean'),
      ('notification_preferences', 'quiet_hours_start', 'time'),
      ('notification_preferences', 'quiet_hours_end', 'time'),
      ('notification_preferences', 'timezone', 'text'),
      ('notification_preferences', 'digest_frequency', 'text'),
      ('notification_preferences', 'created_at', 'timestamptz'),
      ('notification_preferences', 'updated_at', 'timestamptz'),
      ('conversations', 'id', 'uuid'),
      ('conversations', 'type', 'public.conversation_type'),
      ('conversations', 'title', 'text'),
      ('conversations', 'created_by', 'uuid'),
      ('conversations', 'is_archived', 'boolean'),
      ('conversations', 'is_muted', 'boolean'),
      ('conversations', 'last_message_at', 'timestamptz'),
      ('conversations', 'created_at', 'timestamptz'),
      ('conversations', 'updated_at', 'timestamptz'),
      ('conversation_participants', 'id', 'uuid'),
      ('conversation_participants', 'conversation_id', 'uuid'),
      ('conversation_participants', 'user_id', 'uuid'),
      ('conversation_participants', 'role', 'text'),
      ('conversation_participants', 'joined_at', 'timestamptz'),
      ('conversation_participants', 'left_at', 'timestamptz'),
      ('conversation_participants', 'is_muted', 'boolean'),
      ('conversation_participants', 'is_archived', 'boolean'),
      ('conversation_participants', 'last_read_at', 'timestamptz'),
      ('conversation_participants', 'created_at', 'timestamptz'),
      ('conversation_participants', 'updated_at', 'timestamptz'),
      ('messages', 'id', 'uuid'),
      ('messages', 'conversation_id', 'uuid'),
      ('messages', 'sender_id', 'uuid'),
      ('messages', 'reply_to_id', 'uuid'),
      ('messages', 'type', 'public.message_type'),
      ('messages', 'content', 'text'),
      ('messages', 'metadata', 'jsonb'),
      ('messages', 'status', 'public.message_status'),
      ('messages', 'is_edited', 'boolean'),
      ('messages', 'edited_at', 'timestamptz'),
      ('messages', 'delivered_at', 'timestamptz'),
      ('messages', 'created_at', 'timestamptz'),
      ('messages', 'updated_at', 'timestamptz'),
      ('messages', 'is_archived', 'boolean'),
      ('messages', 'archived_at', 'timestamptz'),
      ('message_reactions', 'id', 'uuid'),
      ('message_reactions', 'message_id', 'uuid'),
      ('message_reactions', 'user_id', 'uuid'),
      ('message_reactions', 'emoji', 'text'),
      ('message_reactions', 'created_at', 'timestamptz'),
      ('message_attachments', 'id', 'uuid'),
      ('message_attachments', 'message_id', 'uuid'),
      ('message_attachments', 'file_name', 'text'),
      ('message_attachments', 'file_size', 'integer'),
      ('message_attachments', 'file_type', 'text'),
      ('message_attachments', 'attachment_type', 'public.attachment_type'),
      ('message_attachments', 'url', 'text'),
      ('message_attachments', 'thumbnail_url', 'text'),
      ('message_attachments', 'metadata', 'jsonb'),
      ('message_attachments', 'created_at', 'timestamptz'),
      ('message_attachments', 'updated_at', 'timestamptz'),
      ('message_read_receipts', 'id', 'uuid'),
      ('message_read_receipts', 'message_id', 'uuid'),
      ('message_read_receipts', 'user_id', 'uuid'),
      ('message_read_receipts', 'read_at', 'timestamptz'),
      ('typing_indicators', 'id', 'uuid'),
      ('typing_indicators', 'conversation_id', 'uuid'),
      ('typing_indicators', 'user_id', 'uuid'),
      ('typing_indicators', 'started_at', 'timestamptz'),
      ('typing_indicators', 'expires_at', 'timestamptz'),
      ('payments', 'id', 'uuid'),
      ('payments', 'user_id', 'uuid'),
      ('payments', 'amount_cents', 'integer'),
      ('payments', 'currency', 'text'),
      ('payments', 'description', 'text'),
      ('payments', 'status', 'text|public.payment_status'),
      ('payments', 'provider', 'text'),
      ('payments', 'provider_transaction_id', 'text'),
      ('payments', 'idempotency_key', 'text'),
      ('payments', 'metadata', 'jsonb'),
      ('payments', 'raw_payload', 'jsonb'),
      ('payments', 'created_at', 'timestamptz'),
      ('payments', 'updated_at', 'timestamptz')
    ) as wanted (tbl, col, types)
    join pg_class as c on c.oid = to_regclass(format('public.%I', wanted.tbl))
    left join pg_attribute as a on a.attrelid = c.oid and a.attname = wanted.col and not a.attisdropped
    order by wanted.tbl, wanted.col
  loop
    if item.relkind not in ('r', 'p') then
      problems := problems || format('%s is not a table', item.tbl);
    elsif item.atttypid is null then
      problems := problems || format('%s.%s is missing', item.tbl, item.col);
    elsif not exists (
      select from unnest(string_to_array(item.types, '|')) as t (name) where to_regtype(t.name) = item.atttypid
    ) then
      problems := problems || format(
        '%s.%s is %s, not %s', item.tbl, item.col, format_type(item.atttypid, item.atttypmod), item.types);
    end if;
  end loop;

  if problems <> '{}' then
    raise exception using
      message = format('These tables are not the ones Loom extends: %s.',
        (select string_agg(distinct p, '; ' order by p) from unnest(problems) as p)),
      hint = 'Nothing was changed. Bring the tables to the expected shape, or use another database.';
  end if;
end;
$$;

do $$
begin
  if to_regclass('public.users') is null then
    create table public.users (
      id uuid not null primary key references auth.users (id) on delete cascade,
      email text not null unique,
      role public.user_role not null default 'client',
      first_name text,
      last_name text,
      phone text,
      avatar_url text,
      timezone text default 'UTC',
      language public.language not null default 'en',
      status public.user_status not null default 'active',
      created_at timestamptz default now(),
      updated_at timestamptz default now(),
      last_seen_at timestamptz,
      mfa_enabled boolean default false,
      mfa_secret text,
      mfa_backup_codes text[],
      mfa_verified_at timestamptz,
      mfa_setup_completed boolean default false,
      remember_device_enabled boolean default false
    );
    create index idx_users_created_at_date on public.users (((created_at at time zone 'UTC')::date));
    create index idx_users_email on public.users (email);
    create index idx_users_id_email on public.users (id, email);
    create index idx_users_last_seen_at_date on public.users (((last_seen_at at time zone 'UTC')::date)) where last_seen_at is not null;
    create index idx_users_mfa_enabled on public.users (mfa_enabled);
    create index idx_users_role on public.users (role);
    create index idx_users_status on public.users (status);
    alter table public.users enable row level security;
  end if;
end;
$$;

do $$
begin
  if to_regclass('public.sessions') is null then
    create table public.sessions (
      id uuid not null default gen_random_uuid() primary key,
      coach_id uuid not null references public.users (id) on delete cascade,
      client_id uuid not null references public.users (id) on delete cascade,
      title text not null,
      description text,
      scheduled_at timestamptz not null,
      duration_minutes integer not null default 60,
      status public.session_status not null default 'scheduled',
      meeting_url text,
      notes text,
      created_at timestamptz default now(),
      updated_at timestamptz default now(),
      constraint sessions_different_users check (coach_id <> client_id),
      constraint sessions_positive_duration check (duration_minutes > 0)
    );
    create index idx_sessions_client_id on public.sessions (client_id);
    create index idx_sessions_coach_client on public.sessions (coach_id, client_id);
    create index idx_sessions_coach_id on public.sessions (coach_id);
    create index idx_sessions_coach_status_date on public.sessions (coach_id, status, ((scheduled_at at time zone 'UTC')::date));
    create index idx_sessions_scheduled_at on public.sessions (scheduled_at);
    create index idx_sessions_scheduled_at_date on public.sessions (((scheduled_at at time zone 'UTC')::date));
    create index idx_sessions_status on public.sessions (status);
    create index idx_sessions_status_scheduled_at on public.sessions (status, scheduled_at);
    alter table public.sessions enable row level security;
  end if;
end;
$$;

do $$
begin
  if to_regclass('public.coach_notes') is null then
    create table public.coach_notes (
      id uuid not null default gen_random_uuid() primary key,
      coach_id uuid not null references public.users (id) on delete cascade,
      client_id uuid not null references public.users (id) on delete cascade,
      session_id uuid references public.sessions (id) on delete set null,
      title text not null,
      content text not null,
      privacy_level public.privacy_level not null default 'private',
      tags text[],
      created_at timestamptz default now(),
      updated_at timestamptz default now()
    );
    create index idx_coach_notes_client_id on public.coach_notes (client_id);
    create index idx_coach_notes_coach_id on public.coach_notes (coach_id);
    create index idx_coach_notes_session_id on public.coach_notes (session_id);
    alter table public.coach_notes enable row level security;
  end if;
end;
$$;

do $$
begin
  if to_regclass('public.reflections') is null then
    create table public.reflections (
      id uuid not null default gen_random_uuid() primary key,
      client_id uuid not null references public.users (id) on delete cascade,
      session_id uuid references public.sessions (id) on delete set null,
      content text not null,
      mood_rating integer,
      insights text,
      goals_for_next_session text,
      created_at timestamptz default now(),
      updated_at timestamptz default now(),
      constraint reflections_mood_rating_check check (mood_rating >= 1 and mood_rating <= 10)
    );
    create index idx_reflections_client_id on public.reflections (client_id);
    create index idx_reflections_session_id on public.reflections (session_id);
    alter table public.reflections enable row level security;
  end if;
end;
$$;

do $$
begin
  if to_regclass('public.coach_availability') is null then
    create table public.coach_availability (
      id uuid not null default gen_random_uuid() primary key,
      coach_id uuid not null references public.users (id) on delete cascade,
      day_of_week integer not null,
      start_time time not null,
      end_time time not null,
      is_available boolean not null default true,
      timezone text not null default 'UTC',
      created_at timestamptz default now(),
      updated_at timestamptz default now(),
      buffer_before_minutes integer default 0,
      buffer_after_minutes integer default 0,
      max_bookings_per_slot integer default 1,
      constraint coach_availability_coach_id_day_of_week_start_time_end_time_key unique (coach_id, day_of_week, start_time, end_time),
      constraint coach_availability_day_of_week_check check (day_of_week >= 0 and day_of_week <= 6),
      constraint coach_availability_valid_time check (start_time < end_time)
    );
    create index idx_coach_availability_coach_id on public.coach_availability (coach_id);
    create index idx_coach_availability_day_of_week on public.coach_availability (day_of_week);
    create index idx_coach_availability_time_range on public.coach_availability (coach_id, day_of_week, start_time, end_time, timezone) where is_available = true;
    create index idx_coach_availability_timezone on public.coach_availability (timezone);
    alter table public.coach_availability enable row level security;
  end if;
end;
$$;

do $$
begin
  if to_regclass('public.notifications') is null then
    create table public.notifications (
      id uuid not null default gen_random_uuid() primary key,
      user_id uuid not null references public.users (id) on delete cascade,
      type public.notification_type not null,
      title text not null,
      message text not null,
      data jsonb,
      read_at timestamptz,
      scheduled_for timestamptz,
      sent_at timestamptz,
      created_at timestamptz default now(),
      channel text default 'inapp',
      priority text default 'normal',
      expires_at timestamptz,
      action_url text,
      action_label text,
      template_id uuid,
      constraint notifications_channel_check check (channel = any (array['email'::text, 'inapp'::text, 'push'::text])),
      constraint notifications_priority_check check (priority = any (array['low'::text, 'normal'::text, 'high'::text, 'urgent'::text]))
    );
    create index idx_notifications_channel on public.notifications (channel);
    create index idx_notifications_expires_at on public.notifications (expires_at);
    create index idx_notifications_priority on public.notifications (priority);
    create index idx_notifications_read_at on public.notifications (read_at);
    create index idx_notifications_scheduled_for on public.notifications (scheduled_for);
    create index idx_notifications_template_id_fk on public.notifications (template_id);
    create index idx_notifications_type_channel_created on public.notifications (type, channel, created_at);
    create index idx_notifications_user_id on public.notifications (user_id);
    create index idx_notifications_user_unread on public.notifications (user_id, read_at) where read_at is null;
    alter table public.notifications enable row level security;
  end if;
end;
$$;

do $$
begin
  if to_regclass('public.notification_preferences') is null then
    create table public.notification_preferences (
      id uuid not null default gen_random_uuid() primary key,
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
      created_at timestamptz default now(),
      updated_at timestamptz default now(),
      constraint notification_preferences_digest_frequency_check check (
        digest_frequency = any (array['immediate'::text, 'hourly'::text, 'daily'::text, 'weekly'::text, 'never'::text])
      )
    );
    create index idx_notification_preferences_user_id on public.notification_preferences (user_id);
    alter table public.notification_preferences enable row level security;
  end if;
end;
$$;

do $$
begin
  if to_regclass('public.conversations') is null then
    create table public.conversations (
      id uuid not null default gen_random_uuid() primary key,
      type public.conversation_type not null default 'direct',
      title text,
      created_by uuid not null references public.users (id) on delete cascade,
      is_archived boolean not null default false,
      is_muted boolean not null default false,
      last_message_at timestamptz default now(),
      created_at timestamptz default now(),
      updated_at timestamptz default now()
    );
    create index idx_conversations_archived on public.conversations (is_archived);
    create index idx_conversations_created_by on public.conversations (created_by);
    create index idx_conversations_last_message_at on public.conversations (last_message_at desc);
    alter table public.conversations enable row level security;
  end if;
end;
$$;

do $$
begin
  if to_regclass('public.conversation_participants') is null then
    create table public.conversation_participants (
      id uuid not null default gen_random_uuid() primary key,
      conversation_id uuid not null references public.conversations (id) on delete cascade,
      user_id uuid not null references public.users (id) on delete cascade,
      role text default 'member',
      joined_at timestamptz default now(),
      left_at timestamptz,
      is_muted boolean not null default false,
      is_archived boolean not null default false,
      last_read_at timestamptz default now(),
      created_at timestamptz default now(),
      updated_at timestamptz default now(),
      constraint conversation_participants_conversation_id_user_id_key unique (conversation_id, user_id)
    );
    create index idx_conversation_participants_conversation_id on public.conversation_participants (conversation_id);
    create index idx_conversation_participants_last_read on public.conversation_participants (last_read_at);
    create index idx_conversation_participants_user_id on public.conversation_participants (user_id);
    alter table public.conversation_participants enable row level security;
  end if;
end;
$$;

do $$
begin
  if to_regclass('public.messages') is null then
    create table public.messages (
      id uuid not null default gen_random_uuid() primary key,
      conversation_id uuid not null references public.conversations (id) on delete cascade,
      sender_id uuid not null references public.users (id) on delete cascade,
      reply_to_id uuid references public.messages (id) on delete set null,
      type public.message_type not null default 'text',
      content text,
      metadata jsonb default '{}',
      status public.message_status not null default 'sent',
      is_edited boolean not null default false,
      edited_at timestamptz,
      delivered_at timestamptz,
      created_at timestamptz default now(),
      updated_at timestamptz default now(),
      is_archived boolean default false,
      archived_at timestamptz
    );
    create index idx_messages_conversation_id on public.messages (conversation_id);
    create index idx_messages_conversation_time on public.messages (conversation_id, created_at desc);
    create index idx_messages_created_at on public.messages (created_at desc);
    create index idx_messages_created_at_archived on public.messages (created_at, is_archived) where is_archived = false;
    create index idx_messages_reply_to on public.messages (reply_to_id);
    create index idx_messages_sender_id on public.messages (sender_id);
    create index idx_messages_type on public.messages (type);
    alter table public.messages enable row level security;
  end if;
end;
$$;

do $$
begin
  if to_regclass('public.message_reactions') is null then
    create table public.message_reactions (
      id uuid not null default gen_random_uuid() primary key,
      message_id uuid not null references public.messages (id) on delete cascade,
      user_id uuid not null references public.users (id) on delete cascade,
      emoji text not null,
      created_at timestamptz default now(),
      constraint message_reactions_message_id_user_id_emoji_key unique (message_id, user_id, emoji)
    );
    create index idx_message_reactions_message_id on public.message_reactions (message_id);
    create index idx_message_reactions_user_id on public.message_reactions (user_id);
    alter table public.message_reactions enable row level security;
  end if;
end;
$$;

do $$
begin
  if to_regclass('public.message_attachments') is null then
    create table public.message_attachments (
      id uuid not null default gen_random_uuid() primary key,
      message_id uuid not null references public.messages (id) on delete cascade,
      file_name text not null,
      file_size integer not null,
      file_type text not null,
      attachment_type public.attachment_type not null default 'other',
      url text not null,
      thumbnail_url text,
      metadata jsonb default '{}',
      created_at timestamptz default now(),
      updated_at timestamptz default now()
    );
    create index idx_message_attachments_message_id on public.message_attachments (message_id);
    create index idx_message_attachments_type on public.message_attachments (attachment_type);
    alter table public.message_attachments enable row level security;
  end if;
end;
$$;

do $$
begin
  if to_regclass('public.message_read_receipts') is null then
    create table public.message_read_receipts (
      id uuid not null default gen_random_uuid() primary key,
      message_id uuid not null references public.messages (id) on delete cascade,
      user_id uuid not null references public.users (id) on delete cascade,
      read_at timestamptz default now(),
      constraint message_read_receipts_message_id_user_id_key unique (message_id, user_id)
    );
    create index idx_message_read_receipts_message_id on public.message_read_receipts (message_id);
    create index idx_message_read_receipts_user_id on public.message_read_receipts (user_id);
    alter table public.message_read_receipts enable row level security;
  end if;
end;
$$;

do $$
begin
  if to_regclass('public.typing_indicators') is null then
    create table public.typing_indicators (
      id uuid not null default gen_random_uuid() primary key,
      conversation_id uuid not null references public.conversations (id) on delete cascade,
      user_id uuid not null references public.users (id) on delete cascade,
      started_at timestamptz default now(),
      expires_at timestamptz default (now() + '00:00:10'::interval),
      constraint typing_indicators_conversation_id_user_id_key unique (conversation_id, user_id)
    );
    create index idx_typing_indicators_conversation_id on public.typing_indicators (conversation_id);
    create index idx_typing_indicators_expires_at on public.typing_indicators (expires_at);
    create index idx_typing_indicators_user_id on public.typing_indicators (user_id);
    alter table public.typing_indicators enable row level security;
  end if;
end;
$$;

do $$
begin
  if to_regclass('public.payments') is null then
    create table public.payments (
      id uuid not null default gen_random_uuid() primary key,
      user_id uuid references public.users (id) on delete set null,
      amount_cents integer not null,
      currency text not null default 'ILS',
      description text,
      status text not null default 'pending',
      provider text not null default 'tranzila',
      provider_transaction_id text,
      idempotency_key text,
      metadata jsonb default '{}',
      raw_payload jsonb,
      created_at timestamptz not null default now(),
      updated_at timestamptz not null default now(),
      constraint payments_amount_cents_check check (amount_cents > 0)
    );
    create unique index payments_idempotency_unique on public.payments (idempotency_key) where idempotency_key is not null;
    create unique index payments_provider_txn_unique on public.payments (provider, provider_transaction_id) where provider_transaction_id is not null;
    create index payments_status_idx on public.payments (status);
    create index payments_user_idx on public.payments (user_id);
    alter table public.payments enable row level security;
  end if;
end;
$$;
