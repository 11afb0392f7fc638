-- The public holidays that a coach keeps. Which days those are is known to a library, not to PostgreSQL: the application writes
-- them here ahead of time, and renews them every night.

create table if not exists public.holiday_calendars (
  id uuid primary key default gen_random_uuid(),
  coach_id uuid not null references public.users (id) on delete cascade,
  country text not null,
  subdivision text,
  covers_until date,
  created_at timestamptz not null default now(),
  updated_at timestamptz not null default now(),
  constraint holiday_calendars_one_each unique (coach_id, country),
  constraint holiday_calendars_country_check check (country ~ '^[A-Z]{2}$'),
  constraint holiday_calendars_subdivision_check check (char_length(subdivision) between 1 and 20)
);
comment on table public.holiday_calendars is 'Whose public holidays a coach keeps: none unless the coach asks for them.';
comment on column public.holiday_calendars.subdivision is 'A part of the country with holidays of its own, as the holidays library names it.';
comment on column public.holiday_calendars.covers_until is 'Up to when the days are written.';

create table if not exists public.coach_holidays (
  id uuid primary key default gen_random_uuid(),
  calendar_id uuid not null references public.holiday_calendars (id) on delete cascade,
  coach_id uuid not null references public.users (id) on delete cascade,
  day date not null,
  name text not null,
  works boolean not null default false,
  created_at timestamptz not null default now(),
  updated_at timestamptz not null default now(),
  constraint coach_holidays_one_each unique (calendar_id, day),
  constraint coach_holidays_name_length check (char_length(name) between 1 and 500)
);
comment on table public.coach_holidays is 'Days on which a coach cannot be booked, unless the coach works on them or sets hours for the date.';
comment on column public.coach_holidays.works is 'The coach works on that day after all.';
create index if not exists coach_holidays_coach_idx on public.coach_holidays (coach_id, day);

revoke all on public.holiday_calendars, public.coach_holidays from public, anon, authenticated, service_role;
grant select, insert, update, delete on public.holiday_calendars, public.coach_holidays to service_role;
grant select, delete on public.holiday_calendars to authenticated;
grant insert (coach_id, country, subdivision, covers_until), update (subdivision, covers_until) on public.holiday_calendars to authenticated;
grant select, delete on public.coach_holidays to authenticated;
grant insert (calendar_id, coach_id, day, name), update (name, works) on public.coach_holidays to authenticated;

alter table public.holiday_calendars enable row level security;
alter table public.coach_holidays enable row level security;

do $$
declare
  v_table text;
begin
  foreach v_table in array array['holiday_calendars', 'coach_holidays'] loop
    execute format('drop policy if exists %1$s_select_own on public.%1$s', v_table);
    execute format(
      'create policy %1$s_select_own on public.%1$s for select to authenticated
       using (coach_id = (select private.me()) or (select private.i_am_admin()))', v_table);
    execute format('comment on policy %1$s_select_own on public.%1$s is %2$L', v_table, 'The coach and an admin read them.');
    execute format('drop policy if exists %1$s_insert_own on public.%1$s', v_table);
    execute format(
      'create policy %1$s_insert_own on public.%1$s for insert to authenticated
       with check (coach_id = (select private.me()) and (select private.i_am_coach()))', v_table);
    execute format('comment on policy %1$s_insert_own on public.%1$s is %2$L', v_table, 'A coach keeps holidays of their own choice.');
    execute format('drop policy if exists %1$s_update_own on public.%1$s', v_table);
    execute format(
      'create policy %1$s_update_own on public.%1$s for update to authenticated
       using (coach_id = (select private.me())) with check (coach_id = (select private.me()))', v_table);
    execute format('comment on policy %1$s_update_own on public.%1$s is %2$L', v_table, 'A coach changes what they keep.');
    execute format('drop policy if exists %1$s_delete_own on public.%1$s', v_table);
    execute format(
      'create policy %1$s_delete_own on public.%1$s for delete to authenticated using (coach_id = (select private.me()))', v_table);
    execute format('comment on policy %1$s_delete_own on public.%1$s is %2$L', v_table, 'A coach keeps them no longer.');
    execute format('drop trigger if exists %1$s_touch on public.%1$s', v_table);
    execute format(
      'create trigger %1$s_touch before update on public.%1$s for each row execute function private.touch_updated_at()', v_table);
  end loop;
end;
$$;

create or replace function private.guard_holiday()
returns trigger
language plpgsql
security definer
set search_path = ''
as $$
begin
  if not exists (select from public.holiday_calendars as c where c.id = new.calendar_id and c.coach_id = new.coach_id) then
    perform private.fail(404, 'not_found', 'There is no such thing, or it is not yours.');
  end if;
  return new;
end;
$$;
comment on function private.guard_holiday() is
  'security definer: reads the calendar whoever writes. Trigger: a holiday is its calendar''s coach''s.';
revoke execute on function private.guard_holiday() from public, anon, authenticated, service_role;

drop trigger if exists coach_holidays_guard on public.coach_holidays;
create trigger coach_holidays_guard before insert on public.coach_holidays
for each row execute function private.guard_holiday();

create or replace function public.set_holidays(p_country text, p_subdivision text, p_covers_until date, p_days jsonb)
returns uuid
language plpgsql
security invoker
set search_path = ''
as $$
declare
  coach uuid := private.me();
  the_calendar uuid;
begin
  if coach is null or not private.i_am_coach() then
    perform private.fail(404, 'not_found', 'There is no such thing, or it is not yours.');
  elsif jsonb_typeof(p_days) is distinct from 'array' or jsonb_array_length(p_days) > 2000 then
    perform private.fail(422, 'holidays_invalid', 'Holidays are a list of at most 2000 days.');
  end if;
  insert into public.holiday_calendars (coach_id, country, subdivision, covers_until)
  values (coach, p_country, p_subdivision, p_covers_until)
  on conflict on constraint holiday_calendars_one_each
  do update set subdivision = excluded.subdivision, covers_until = excluded.covers_until
  returning id into the_calendar;
  -- What the coach said about single days stays, as far as those days are still holidays.
  delete from public.coach_holidays as h
  where h.calendar_id = the_calendar
    and not exists (select from jsonb_to_recordset(p_days) as d (day date) where d.day = h.day);
  insert into public.coach_holidays (calendar_id, coach_id, day, name)
  select the_calendar, coach, d.day, d.name from jsonb_to_recordset(p_days) as d (day date, name text)
  on conflict on constraint coach_holidays_one_each do update set name = excluded.name;
  return the_calendar;
end;
$$;
comment on function public.set_holidays(text, text, date, jsonb) is
  'The caller keeps the holidays of a country: [{"day": "2031-09-18", "name": "Rosh Hashanah"}], as the application knows them. Gives the calendar''s id.';
revoke execute on function public.set_holidays(text, text, date, jsonb) from public, anon, authenticated, service_role;
grant execute on function public.set_holidays(text, text, date, jsonb) to authenticated;
