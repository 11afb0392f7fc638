create or replace function private.log_session_live(p_session public.sessions)
returns void
language sql
security definer
set search_path = ''
as $$
  insert into public.live_events (kind, scope, session_id, coach_id, user_id)
  values ('session.changed', 'session', p_session.id, p_session.coach_id, p_session.client_id)
  on conflict (xid, session_id) where scope = 'session' do nothing
$$;
comment on function private.log_session_live(public.sessions) is
  'security definer: nobody may write the log. A session is news once in a transaction, whatever of it changed how often.';
revoke execute on function private.log_session_live(public.sessions) from public, anon, authenticated, service_role;

create or replace function private.sessions_live()
returns trigger
language plpgsql
security definer
set search_path = ''
as $$
begin
  -- Imports of the past are no news.
  if tg_op = 'UPDATE' or new.ends_at > now() then
    perform private.log_session_live(new);
  end if;
  return null;
end;
$$;
comment on function private.sessions_live() is
  'security definer: nobody may write the log. Trigger: a session made or changed is news to whoever may see it.';
revoke execute on function private.sessions_live() from public, anon, authenticated, service_role;

drop trigger if exists sessions_live on public.sessions;
create trigger sessions_live after insert or update on public.sessions
for each row execute function private.sessions_live();

create or replace function private.session_attendees_live()
returns trigger
language plpgsql
security definer
set search_path = ''
as $$
declare
  v_session public.sessions;
begin
  select * into v_session from public.sessions as s where s.id = new.session_id;
  -- A session made in this very transaction is told by itself, whatever seats come with it.
  if tg_op = 'UPDATE' or (v_session.ends_at > now() and v_session.created_at <> now()) then
    perform private.log_session_live(v_session);
  end if;
  if tg_op = 'UPDATE' and new.user_id is not null and new.cancelled_at is not null and old.cancelled_at is null then
    insert into public.live_events (kind, scope, session_id, user_id)
    values ('session.left', 'person', new.session_id, new.user_id);
  end if;
  return null;
end;
$$;
comment on function private.session_attendees_live() is
  'security definer: nobody may write the log. Trigger: who has a seat in a session, and how, is news to whoever may see the session; a seat given up to its person, too.';
revoke execute on function private.session_attendees_live() from public, anon, authenticated, service_role;

drop trigger if exists session_attendees_live on public.session_attendees;
create trigger session_attendees_live after insert or update of status, cancelled_at, user_id on public.session_attendees
for each row execute function private.session_attendees_live();
