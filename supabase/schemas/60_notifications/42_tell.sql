create or replace function private.called(p_user_id uuid)
returns text
language sql
stable
security definer
set search_path = ''
as $$
  select nullif(btrim(concat_ws(' ', u.first_name, u.last_name)), '') from public.users as u where u.id = p_user_id
$$;
comment on function private.called(uuid) is
  'security definer: reads the profile of a person that the caller may not. The name of a person in a notice, null if they gave none.';
revoke execute on function private.called(uuid) from public, anon, authenticated, service_role;

create or replace function private.tell(
  p_user_id uuid,
  p_kind text,
  p_action_url text,
  p_data jsonb,
  p_who text default null,
  p_what text default null,
  p_when timestamptz default null,
  p_expires_at timestamptz default null
)
returns void
language plpgsql
security definer
set search_path = ''
as $$
declare
  person public.users%rowtype;
  channels text[];
  notice uuid;
  words record;
  title text;
  message text;
begin
  -- Nobody is told what they have just done themselves.
  if p_user_id is null or p_user_id is not distinct from private.me() then
    return;
  end if;
  select * into person from public.users as u where u.id = p_user_id and u.status = 'active';
  select * into words from private.notice_words(p_kind);
  if person.id is null or words.type is null then
    return;
  end if;
  -- Mail about a session that was made, moved or cancelled is the calendar invitation's business, which says it by itself.
  channels := array(
    select c.name
    from unnest(private.wanted_channels(p_user_id, words.topic)) as c (name)
    where not (c.name = 'email' and words.topic = 'session_updates')
  );
  if cardinality(channels) = 0 then
    return;
  end if;
  if person.language = 'he' then
    title := words.he_title;
    message := replace(words.he_message, '{who}', coalesce(p_who, 'מישהו'));
  else
    title := words.en_title;
    message := replace(words.en_message, '{who}', coalesce(p_who, 'Somebody'));
  end if;
  message := replace(message, '{when}', coalesce(
    to_char(p_when at time zone coalesce(person.timezone, 'UTC'), 'YYYY-MM-DD HH24:MI'), ''
  ));
  message := replace(message, '{what}', coalesce(p_what, ''));
  -- Who wants mail only has a row too, which the app does not show.
  insert into public.notifications (user_id, type, title, message, data, action_url, sent_at, channel, expires_at)
  values (
    person.id, words.type, left(title, 300), left(message, 2000),
    coalesce(p_data, '{}') || jsonb_build_object('kind', p_kind), p_action_url, now(), channels[1], p_expires_at)
  returning id into notice;
  insert into public.notification_deliveries (notification_id, user_id, channel, topic, next_attempt_at)
  select notice, person.id, c.name::public.message_delivery_channel, words.topic,
    coalesce(private.notice_quiet_until(person.id, p_expires_at), now())
  from unnest(channels) as c (name)
  where c.name <> 'inapp';
end;
$$;
comment on function private.tell(uuid, text, text, jsonb, text, text, timestamptz, timestamptz) is
  'security definer: nobody may insert notifications. Tells a person of something that others did: in their language and zone, if they want to hear of it.';
revoke execute on function private.tell(uuid, text, text, jsonb, text, text, timestamptz, timestamptz)
from public, anon, authenticated, service_role;
