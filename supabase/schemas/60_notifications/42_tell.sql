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
  p_when timestamptz default null
)
returns void
language plpgsql
security definer
set search_path = ''
as $$
declare
  person public.users%rowtype;
  choices public.notification_preferences%rowtype;
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
  select * into choices from public.notification_preferences as n where n.user_id = p_user_id;
  if choices.user_id is not null and not (
    choices.inapp_enabled
    and case words.topic
      when 'session_updates' then choices.inapp_session_updates
      when 'messages' then choices.inapp_messages
      else choices.inapp_system_updates
    end
  ) then
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
  perform private.notify(
    person.id, words.type, title, message, coalesce(p_data, '{}') || jsonb_build_object('kind', p_kind), p_action_url
  );
end;
$$;
comment on function private.tell(uuid, text, text, jsonb, text, text, timestamptz) is
  'security definer: nobody may insert notifications. Tells a person of something that others did: in their language and zone, if they want to hear of it.';
revoke execute on function private.tell(uuid, text, text, jsonb, text, text, timestamptz)
from public, anon, authenticated, service_role;
