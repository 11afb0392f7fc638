-- Notifications for any user's id, one way of sending without a question asked.

create function public.can_send_notification(sender_id uuid, recipient_id uuid, kind public.notification_type)
returns boolean language sql stable security definer as $$
  select exists (select from public.users as u where u.id = $1 and u.role = 'admin')
    or exists (
      select from public.sessions as s
      where s.status <> 'cancelled'
        and ((s.coach_id, s.client_id) = ($1, $2)
             and $3 in ('session_reminder', 'session_confirmation', 'coach_message')
          or (s.client_id, s.coach_id) = ($1, $2) and $3 = 'client_message'))
$$;

create function public.send_notification(
  user_id uuid, type public.notification_type, title text, message text, data jsonb default null,
  scheduled_for timestamptz default null
) returns uuid language sql security definer as $$
  insert into public.notifications (user_id, type, title, message, data, scheduled_for)
  values ($1, $2, $3, $4, $5, $6) returning id
$$;
create function public.send_notification(
  recipient_id uuid, kind public.notification_type, title text, message text, data jsonb default null,
  scheduled_for timestamptz default null, channel text default 'inapp', priority text default 'normal'
) returns uuid language plpgsql security definer as $$
declare
  made uuid;
begin
  if not public.can_send_notification(auth.uid(), recipient_id, kind) then
    raise exception 'not allowed';
  end if;
  insert into public.notifications (user_id, type, title, message, data, scheduled_for, channel, priority)
  values ($1, $2, $3, $4, $5, $6, $7, $8) returning id into made;
  return made;
end $$;

create function public.mark_notifications_read(p_user_id uuid, p_ids uuid[]) returns integer
language sql security definer as $$
  with done as (
    update public.notifications set read_at = now() where user_id = $1 and id = any ($2) and read_at is null returning 1
  ) select count(*)::integer from done
$$;
create function public.mark_notification_read(p_notification_id uuid, p_user_id uuid) returns boolean
language sql security definer as $$
  with done as (
    update public.notifications set read_at = now() where id = $1 and user_id = $2 returning 1
  ) select exists (select from done)
$$;
create function public.mark_all_notifications_read(p_user_id uuid) returns integer language sql security definer as $$
  with done as (
    update public.notifications set read_at = now() where user_id = $1 and read_at is null returning 1
  ) select count(*)::integer from done
$$;
create function public.get_unread_notification_count(p_user_id uuid) returns integer language sql stable security definer as $$
  select count(*)::integer from public.notifications where user_id = $1 and read_at is null
$$;

create function public.create_notification_from_template(
  p_user_id uuid, p_type public.notification_type, p_channel text default 'inapp'
) returns uuid language sql security definer as $$
  insert into public.notifications (user_id, type, title, message, channel, template_id)
  select u.id, t.type, t.title, t.body, t.channel, t.id
  from public.users as u
  join public.notification_templates as t on t.type = $2 and t.channel = $3 and t.language in (u.language, 'en')
  where u.id = $1
  order by t.language = u.language desc
  limit 1
  returning id
$$;
-- Reads a column that was never made.
create function public.schedule_session_reminders(p_session_id uuid) returns void language plpgsql security definer as $$
begin
  insert into public.notifications (user_id, type, title, message, scheduled_for)
  select p.user_id, 'session_reminder', 'Session', s.title, s.scheduled_at - make_interval(mins => p.reminder_timing)
  from public.sessions as s
  join public.notification_preferences as p on p.user_id in (s.coach_id, s.client_id)
  where s.id = p_session_id;
end $$;
create function public.cleanup_old_notifications() returns integer language sql as $$
  with gone as (
    delete from public.notifications
    where read_at < now() - interval '90 days' or expires_at < now()
      or (read_at is null and created_at < now() - interval '6 months')
    returning 1
  ) select count(*)::integer from gone
$$;
