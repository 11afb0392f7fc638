-- What the older table of preferences has no column for. Beside it, since old databases have a row there for everybody.
create table if not exists public.notification_choices (
  user_id uuid primary key references public.users (id) on delete cascade,
  push_session_updates boolean not null default false,
  push_system_updates boolean not null default false,
  email_payments boolean not null default true,
  inapp_payments boolean not null default true,
  push_payments boolean not null default false,
  hide_content boolean not null default false,
  created_at timestamptz not null default now(),
  updated_at timestamptz not null default now()
);
comment on table public.notification_choices is 'More of a person''s choices about notices. No row: the defaults.';
comment on column public.notification_choices.hide_content is
  'Mail and notices on devices say that there is something, and neither what nor from whom.';

revoke all on public.notification_choices from public, anon, authenticated, service_role;
grant select on public.notification_choices to authenticated;
grant insert (
  user_id, push_session_updates, push_system_updates, email_payments, inapp_payments, push_payments, hide_content
), update (
  push_session_updates, push_system_updates, email_payments, inapp_payments, push_payments, hide_content
) on public.notification_choices to authenticated;
grant select, insert, update, delete on public.notification_choices to service_role;
alter table public.notification_choices enable row level security;

drop policy if exists notification_choices_select_own on public.notification_choices;
create policy notification_choices_select_own on public.notification_choices for select to authenticated
using (user_id = (select private.me()));
comment on policy notification_choices_select_own on public.notification_choices is 'One''s own.';
drop policy if exists notification_choices_insert_own on public.notification_choices;
create policy notification_choices_insert_own on public.notification_choices for insert to authenticated
with check (user_id = (select private.me()));
comment on policy notification_choices_insert_own on public.notification_choices is 'For oneself.';
drop policy if exists notification_choices_update_own on public.notification_choices;
create policy notification_choices_update_own on public.notification_choices for update to authenticated
using (user_id = (select private.me())) with check (user_id = (select private.me()));
comment on policy notification_choices_update_own on public.notification_choices is 'One''s own.';

drop trigger if exists notification_choices_touch on public.notification_choices;
create trigger notification_choices_touch before update on public.notification_choices
for each row execute function private.touch_updated_at();

create or replace function private.wanted_channels(p_user_id uuid, p_topic text)
returns text[]
language plpgsql
stable
security definer
set search_path = ''
as $$
declare
  n public.notification_preferences;
  c public.notification_choices;
  v_in_app boolean;
  v_email boolean;
  v_push boolean;
begin
  select * into n from public.notification_preferences as x where x.user_id = p_user_id;
  select * into c from public.notification_choices as x where x.user_id = p_user_id;
  -- The one model, for messages and notices alike: <channel>_<topic>, and <channel>_enabled for all of a channel. A row
  -- that is not there counts as its table's defaults; a topic that is not known here is not sent.
  case p_topic
    when 'messages' then
      v_in_app := coalesce(n.inapp_messages, true);
      v_email := coalesce(n.email_messages, true);
      v_push := coalesce(n.push_messages, false);
    when 'session_reminders' then
      v_in_app := coalesce(n.inapp_session_reminders, true);
      v_email := coalesce(n.email_session_reminders, true);
      v_push := coalesce(n.push_session_reminders, false);
    when 'session_updates' then
      v_in_app := coalesce(n.inapp_session_updates, true);
      v_email := coalesce(n.email_session_updates, true);
      v_push := coalesce(c.push_session_updates, false);
    when 'payments' then
      v_in_app := coalesce(c.inapp_payments, true);
      v_email := coalesce(c.email_payments, true);
      v_push := coalesce(c.push_payments, false);
    when 'system_updates' then
      v_in_app := coalesce(n.inapp_system_updates, true);
      v_email := coalesce(n.email_system_updates, false);
      v_push := coalesce(c.push_system_updates, false);
    else
      return '{}';
  end case;
  return array_remove(array[
    case when v_in_app and coalesce(n.inapp_enabled, true) then 'inapp' end,
    case when v_email and coalesce(n.email_enabled, true) then 'email' end,
    case when v_push and coalesce(n.push_enabled, false) then 'push' end
  ], null);
end;
$$;
comment on function private.wanted_channels(uuid, text) is
  'security definer: reads somebody''s choices. On which channels (inapp, email, push) a person wants to hear of a topic.';
revoke execute on function private.wanted_channels(uuid, text) from public, anon, authenticated, service_role;
grant execute on function private.wanted_channels(uuid, text) to service_role;

create or replace function private.wants(p_user_id uuid, p_channel text, p_topic text)
returns boolean
language plpgsql
stable
security invoker
set search_path = ''
as $$
begin
  return coalesce(p_channel = any (private.wanted_channels(p_user_id, p_topic)), false);
end;
$$;
comment on function private.wants(uuid, text, text) is 'Whether a person wants to hear of a topic on a channel (inapp, email, push).';
revoke execute on function private.wants(uuid, text, text) from public, anon, authenticated, service_role;
grant execute on function private.wants(uuid, text, text) to service_role;
