create table if not exists public.session_reminders (
  session_id uuid not null references public.sessions (id) on delete cascade,
  user_id uuid not null references public.users (id) on delete cascade,
  lead_minutes integer not null,
  scheduled_at timestamptz not null,
  created_at timestamptz not null default now(),
  primary key (session_id, user_id, lead_minutes, scheduled_at)
);
comment on table public.session_reminders is
  'Who was reminded of which session how long before. The key is what makes a reminder come once, whoever works and however often.';

create index if not exists session_reminders_user_idx on public.session_reminders (user_id);

revoke all on public.session_reminders from public, anon, authenticated, service_role;
grant select on public.session_reminders to authenticated, service_role;
alter table public.session_reminders enable row level security;

drop policy if exists session_reminders_select_own on public.session_reminders;
create policy session_reminders_select_own on public.session_reminders for select to authenticated
using (user_id = (select private.me()) or (select private.i_am_admin()));
comment on policy session_reminders_select_own on public.session_reminders is 'Everybody sees their own; an admin sees all.';

create or replace function private.reminder_refusal(p_user_id uuid, p_data jsonb)
returns text
language plpgsql
stable
security definer
set search_path = ''
as $$
declare
  s record;
begin
  select x.status, x.scheduled_at, x.coach_id into s
  from public.sessions as x
  where x.id = (p_data ->> 'session_id')::uuid;
  return case
    when s.status is null or s.status <> 'scheduled' then 'cancelled'
    when s.scheduled_at <> (p_data ->> 'scheduled_at')::timestamptz then 'moved'
    when s.coach_id <> p_user_id and not exists (
      select
      from public.session_attendees as a
      where a.session_id = (p_data ->> 'session_id')::uuid and a.user_id = p_user_id and a.cancelled_at is null
        and a.status in ('confirmed', 'checked_in')
    ) then 'left'
  end;
end;
$$;
comment on function private.reminder_refusal(uuid, jsonb) is
  'security definer: reads sessions and seats of others. Why a reminder no longer holds; null while it does.';
revoke execute on function private.reminder_refusal(uuid, jsonb) from public, anon, authenticated, service_role;

create or replace function private.remind_of_sessions(p_now timestamptz default now())
returns integer
language plpgsql
volatile
security definer
set search_path = ''
as $$
declare
  v_due record;
  v_count integer := 0;
begin
  -- A day and an hour before, as time passes, whatever clocks do in between. Who has booked since then needs no reminder.
  -- After an outage two may be due at once: both count as given, and the nearer one is told.
  for v_due in
    with due as (
      select s.id as session_id, p.user_id, l.minutes, s.scheduled_at
      from public.sessions as s
      cross join unnest(array[1440, 60]) as l (minutes)
      cross join lateral (
        select s.coach_id as user_id, s.created_at as since
        union
        select a.user_id, a.created_at
        from public.session_attendees as a
        where a.session_id = s.id and a.user_id is not null and a.user_id <> s.coach_id and a.cancelled_at is null
          and a.status = 'confirmed'
      ) as p
      where s.status = 'scheduled'
        and s.scheduled_at > p_now
        and s.scheduled_at <= p_now + make_interval(mins => l.minutes)
        and s.scheduled_at - make_interval(mins => l.minutes) >= greatest(p.since, (
          select max(e.created_at) from public.session_events as e where e.session_id = s.id and e.kind = 'rescheduled'
        ))
    ),
    given as (
      insert into public.session_reminders (session_id, user_id, lead_minutes, scheduled_at)
      select d.session_id, d.user_id, d.minutes, d.scheduled_at from due as d
      on conflict do nothing
      returning session_id, user_id, lead_minutes, scheduled_at
    )
    select g.session_id, g.user_id, g.scheduled_at, s.title, s.coach_id, s.client_id
    from (
      select distinct on (x.session_id, x.user_id) x.* from given as x order by x.session_id, x.user_id, x.lead_minutes
    ) as g
    join public.sessions as s on s.id = g.session_id
  loop
    perform private.tell(
      v_due.user_id, 'session_reminder', '/sessions/' || v_due.session_id,
      jsonb_build_object('session_id', v_due.session_id, 'scheduled_at', v_due.scheduled_at),
      private.called(case when v_due.user_id = v_due.coach_id then v_due.client_id else v_due.coach_id end),
      v_due.title, v_due.scheduled_at, v_due.scheduled_at);
    v_count := v_count + 1;
  end loop;
  return v_count;
end;
$$;
comment on function private.remind_of_sessions(timestamptz) is
  'security definer: reads sessions of everybody and writes notices. Reminds who takes part in what begins soon: never after it began, never of what is cancelled, once.';
revoke execute on function private.remind_of_sessions(timestamptz) from public, anon, authenticated, service_role;
grant execute on function private.remind_of_sessions(timestamptz) to service_role;
