-- Single days that are not like the others of their week.

create table if not exists public.availability_overrides (
  id uuid primary key default gen_random_uuid(),
  coach_id uuid not null references public.users (id) on delete cascade,
  day date not null,
  start_time time,
  end_time time,
  continues_until time,
  timezone text not null,
  created_at timestamptz not null default now(),
  updated_at timestamptz not null default now(),
  constraint availability_overrides_one_each unique nulls not distinct (coach_id, day, start_time),
  constraint availability_overrides_valid_time check ((start_time is null) = (end_time is null) and start_time < end_time),
  constraint availability_overrides_continues check (
    continues_until is null or (end_time = '24:00' and continues_until > '00:00' and continues_until <= start_time)
  ),
  constraint availability_overrides_day_range check (day between '2000-01-01' and '2200-01-01')
);
comment on table public.availability_overrides is
  'The hours of a coach on one date, in place of those of the week and of a holiday. A row without times: none at all.';
comment on column public.availability_overrides.continues_until is
  'For a range that goes on after midnight (end_time is 24:00): until when on the next day.';

revoke all on public.availability_overrides from public, anon, authenticated, service_role;
grant select, insert, update, delete on public.availability_overrides to service_role;
grant select, delete on public.availability_overrides to authenticated;
grant insert (coach_id, day, start_time, end_time, continues_until, timezone) on public.availability_overrides to authenticated;

alter table public.availability_overrides enable row level security;

drop policy if exists availability_overrides_select_own on public.availability_overrides;
create policy availability_overrides_select_own on public.availability_overrides for select to authenticated
using (coach_id = (select private.me()) or (select private.i_am_admin()));
comment on policy availability_overrides_select_own on public.availability_overrides is
  'The coach and an admin read single days; others ask for free slots.';
drop policy if exists availability_overrides_insert_own on public.availability_overrides;
create policy availability_overrides_insert_own on public.availability_overrides for insert to authenticated
with check (coach_id = (select private.me()) and (select private.i_am_coach()));
comment on policy availability_overrides_insert_own on public.availability_overrides is 'A coach sets days of their own.';
drop policy if exists availability_overrides_delete_own on public.availability_overrides;
create policy availability_overrides_delete_own on public.availability_overrides for delete to authenticated
using (coach_id = (select private.me()));
comment on policy availability_overrides_delete_own on public.availability_overrides is 'A coach lets a day be like the others again.';

create or replace function private.guard_override()
returns trigger
language plpgsql
security definer
set search_path = ''
as $$
begin
  if not private.is_time_zone(new.timezone) then
    perform private.fail(422, 'timezone_unknown', format('There is no time zone named %L.', left(new.timezone, 80)));
  end if;
  -- Two writers of one coach's days wait for one another here.
  perform u.id from public.users as u where u.id = new.coach_id for no key update;
  if exists (
    select from public.availability_overrides as o
    where o.coach_id = new.coach_id and o.day = new.day and o.id <> new.id
      and (o.start_time is null or new.start_time is null or (o.start_time < new.end_time and new.start_time < o.end_time))
  ) then
    perform private.fail(409, 'availability_overlap', 'Two ranges of one day overlap, or the day is closed already.');
  end if;
  return new;
end;
$$;
comment on function private.guard_override() is
  'security definer: locks the coach''s row. Trigger: refuses unknown zones, overlapping hours, and hours on a day that is closed.';
revoke execute on function private.guard_override() from public, anon, authenticated, service_role;

drop trigger if exists availability_overrides_guard on public.availability_overrides;
create trigger availability_overrides_guard before insert or update on public.availability_overrides
for each row execute function private.guard_override();
drop trigger if exists availability_overrides_touch on public.availability_overrides;
create trigger availability_overrides_touch before update on public.availability_overrides
for each row execute function private.touch_updated_at();

create or replace function public.set_day(p_day date, p_timezone text, p_ranges jsonb)
returns setof public.availability_overrides
language plpgsql
security invoker
set search_path = ''
as $$
declare
  coach uuid := private.me();
begin
  if coach is null or not private.i_am_coach() then
    perform private.fail(404, 'not_found', 'There is no such thing, or it is not yours.');
  elsif jsonb_typeof(p_ranges) is distinct from 'array' or jsonb_array_length(p_ranges) > 24 then
    perform private.fail(422, 'availability_invalid', 'A day is a list of at most 24 ranges.');
  end if;
  perform u.id from public.users as u where u.id = coach for no key update;
  delete from public.availability_overrides as o where o.coach_id = coach and o.day = p_day;
  insert into public.availability_overrides (coach_id, day, start_time, end_time, continues_until, timezone)
  select coach, p_day, r.start_time, h.end_time, h.continues_until, p_timezone
  from jsonb_to_recordset(p_ranges) as r (start_time time, end_time time)
  cross join lateral private.hours_over_midnight(r.start_time, r.end_time) as h;
  if jsonb_array_length(p_ranges) = 0 then
    insert into public.availability_overrides (coach_id, day, timezone) values (coach, p_day, p_timezone);
  end if;
  return query
    select * from public.availability_overrides as o where o.coach_id = coach and o.day = p_day order by o.start_time;
end;
$$;
comment on function public.set_day(date, text, jsonb) is
  'Gives the caller''s hours of one date: [{"start_time": "22:00", "end_time": "02:00"}], wall time in the zone; [] for none.';
revoke execute on function public.set_day(date, text, jsonb) from public, anon, authenticated, service_role;
grant execute on function public.set_day(date, text, jsonb) to authenticated;
