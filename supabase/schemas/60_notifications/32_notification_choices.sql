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

create or replace function private.wants(p_user_id uuid, p_channel text, p_topic text)
returns boolean
language plpgsql
stable
security definer
set search_path = ''
as $$
declare
  v_all jsonb;
begin
  -- One model: <channel>_<topic>, and <channel>_enabled for all of a channel. What neither table knows is not sent.
  select
    coalesce((select to_jsonb(n) from public.notification_preferences as n where n.user_id = p_user_id),
      '{"email_enabled": true, "inapp_enabled": true, "push_enabled": false, "email_session_reminders": true,
        "email_session_updates": true, "email_messages": true, "inapp_session_reminders": true,
        "inapp_session_updates": true, "inapp_messages": true, "inapp_system_updates": true}')
    || coalesce((select to_jsonb(c) from public.notification_choices as c where c.user_id = p_user_id),
      '{"email_payments": true, "inapp_payments": true}')
  into v_all;
  return coalesce((v_all ->> (p_channel || '_enabled'))::boolean, false)
    and coalesce((v_all ->> (p_channel || '_' || p_topic))::boolean, false);
end;
$$;
comment on function private.wants(uuid, text, text) is
  'security definer: reads somebody''s choices. Whether a person wants to hear of a topic on a channel (inapp, email, push).';
revoke execute on function private.wants(uuid, text, text) from public, anon, authenticated, service_role;
grant execute on function private.wants(uuid, text, text) to service_role;
