create table if not exists public.coach_availability (
  id uuid not null primary key default gen_random_uuid(),
  coach_id uuid not null references public.users (id) on delete cascade,
  day_of_week integer not null,
  start_time time not null,
  end_time time not null,
  is_available boolean not null default true,
  timezone text not null default 'UTC',
  created_at timestamptz not null default now(),
  updated_at timestamptz not null default now(),
  buffer_before_minutes integer default 0,
  buffer_after_minutes integer default 0,
  max_bookings_per_slot integer default 1,
  continues_until time,
  constraint coach_availability_coach_id_day_of_week_start_time_end_time_key unique (coach_id, day_of_week, start_time, end_time),
  constraint coach_availability_day_of_week_check check (day_of_week >= 0 and day_of_week <= 6),
  constraint coach_availability_valid_time check (start_time < end_time)
);
comment on table public.coach_availability is
  'The hours of a coach''s week in which people may book: wall time in a zone. Read through free slots, not by clients.';
comment on column public.coach_availability.day_of_week is '0 is Sunday, 6 is Saturday.';
comment on column public.coach_availability.end_time is 'Not included; 24:00 is the end of the day.';
comment on column public.coach_availability.buffer_before_minutes is
  'An older application''s. Nothing of Loom reads it: what is kept free around a session is its template''s to say.';
comment on column public.coach_availability.buffer_after_minutes is 'As buffer_before_minutes.';
comment on column public.coach_availability.continues_until is
  'For a range that goes on after midnight (end_time is 24:00): until when on the next day.';

select private.ensure_constraints(
  'public.coach_availability',
  'coach_availability_continues check (continues_until is null or (end_time = ''24:00'' and continues_until > ''00:00'' and continues_until <= start_time))'
);

create index if not exists idx_coach_availability_coach_id on public.coach_availability (coach_id);
create index if not exists idx_coach_availability_day_of_week on public.coach_availability (day_of_week);
create index if not exists idx_coach_availability_time_range
on public.coach_availability (coach_id, day_of_week, start_time, end_time, timezone) where is_available = true;
create index if not exists idx_coach_availability_timezone on public.coach_availability (timezone);

revoke all on public.coach_availability from public, anon, authenticated, service_role;
grant select, delete on public.coach_availability to authenticated;
grant insert (
  coach_id, day_of_week, start_time, end_time, is_available, timezone, buffer_before_minutes, buffer_after_minutes, continues_until
)
on public.coach_availability to authenticated;
grant update (day_of_week, start_time, end_time, is_available, timezone, buffer_before_minutes, buffer_after_minutes, continues_until)
on public.coach_availability to authenticated;
grant select, insert, update, delete on public.coach_availability to service_role;
alter table public.coach_availability enable row level security;

drop policy if exists coach_availability_select_own on public.coach_availability;
create policy coach_availability_select_own on public.coach_availability for select to authenticated
using (coach_id = (select private.me()) or (select private.i_am_admin()));
comment on policy coach_availability_select_own on public.coach_availability is 'The coach and an admin read the week; others ask for free slots.';
drop policy if exists coach_availability_insert_own on public.coach_availability;
create policy coach_availability_insert_own on public.coach_availability for insert to authenticated
with check (coach_id = (select private.me()) and (select private.i_am_coach()));
comment on policy coach_availability_insert_own on public.coach_availability is 'A coach adds hours of their own.';
drop policy if exists coach_availability_update_own on public.coach_availability;
create policy coach_availability_update_own on public.coach_availability for update to authenticated
using (coach_id = (select private.me()))
with check (coach_id = (select private.me()));
comment on policy coach_availability_update_own on public.coach_availability is 'A coach changes hours of their own.';
drop policy if exists coach_availability_delete_own on public.coach_availability;
create policy coach_availability_delete_own on public.coach_availability for delete to authenticated
using (coach_id = (select private.me()));
comment on policy coach_availability_delete_own on public.coach_availability is 'A coach removes hours of their own.';

create or replace function private.week_minutes(p_day integer, p_start time, p_end time, p_continues_until time)
returns int4multirange
language sql
immutable
security invoker
set search_path = ''
as $$
  -- Minutes of the week; what runs over its end comes up again at its start.
  select (int4multirange(int4range(f.first, f.last)) + int4multirange(int4range(f.first - 10080, f.last - 10080)))
    * int4multirange(int4range(0, 10080))
  from (
    select
      p_day * 1440 + (extract(epoch from p_start) / 60)::integer as first,
      p_day * 1440 + (extract(epoch from p_end) / 60)::integer
        + coalesce(extract(epoch from p_continues_until) / 60, 0)::integer as last
  ) as f
$$;
comment on function private.week_minutes(integer, time, time, time) is
  'The minutes of the week, from Sunday on, that a range of hours covers.';
revoke execute on function private.week_minutes(integer, time, time, time) from public, anon, authenticated, service_role;

create or replace function private.guard_availability()
returns trigger
language plpgsql
security definer
set search_path = ''
as $$
begin
  if not private.is_time_zone(new.timezone) then
    perform private.fail(422, 'timezone_unknown', format('There is no time zone named %L.', left(new.timezone, 80)));
  end if;
  if coalesce(new.buffer_before_minutes, 0) not between 0 and 480 or coalesce(new.buffer_after_minutes, 0) not between 0 and 480 then
    perform private.fail(422, 'buffer_out_of_range', 'A buffer is 0 to 480 minutes.');
  end if;
  -- No range can be made of hours that end before they begin; the check of the table refuses them next.
  if new.is_available and new.start_time < new.end_time then
    -- Two writers of one week wait for one another here; old rows that overlap are left as they are.
    perform u.id from public.users as u where u.id = new.coach_id for no key update;
    if exists (
      select from public.coach_availability as a
      where a.coach_id = new.coach_id and a.timezone = new.timezone and a.is_available and a.id <> new.id
        and private.week_minutes(a.day_of_week, a.start_time, a.end_time, a.continues_until)
          && private.week_minutes(new.day_of_week, new.start_time, new.end_time, new.continues_until)
    ) then
      perform private.fail(409, 'availability_overlap', 'Two ranges of the week overlap.');
    end if;
  end if;
  return new;
end;
$$;
comment on function private.guard_availability() is
  'security definer: locks the coach''s row. Trigger: refuses unknown zones and overlapping hours.';
revoke execute on function private.guard_availability() from public, anon, authenticated, service_role;

drop trigger if exists coach_availability_guard on public.coach_availability;
create trigger coach_availability_guard before insert or update on public.coach_availability
for each row execute function private.guard_availability();
drop trigger if exists coach_availability_touch on public.coach_availability;
create trigger coach_availability_touch before update on public.coach_availability
for each row execute function private.touch_updated_at();
