-- What a coach lets clients do with the hours on offer, and when somebody counts as missed. The coach's own bookings are
-- not held to the former.

create table if not exists public.booking_rules (
  coach_id uuid primary key references public.users (id) on delete cascade,
  min_notice_minutes integer not null default 0,
  horizon_days integer,
  max_per_day integer,
  max_per_week integer,
  week_starts_on integer not null default 0,
  no_show_grace_minutes integer,
  created_at timestamptz not null default now(),
  updated_at timestamptz not null default now(),
  constraint booking_rules_notice_range check (min_notice_minutes between 0 and 525600),
  constraint booking_rules_horizon_range check (horizon_days between 1 and 1825),
  constraint booking_rules_per_day_range check (max_per_day between 1 and 100),
  constraint booking_rules_per_week_range check (max_per_week between 1 and 700),
  constraint booking_rules_week_start check (week_starts_on between 0 and 6),
  constraint booking_rules_grace_range check (no_show_grace_minutes between 0 and 10080)
);
comment on table public.booking_rules is
  'How soon, how far ahead and how often a coach can be booked by clients, and the grace before a no-show. No row: as the hours say. A template may have notice, horizon and grace of its own.';
comment on column public.booking_rules.min_notice_minutes is 'Elapsed time between now and the earliest start on offer.';
comment on column public.booking_rules.horizon_days is 'Days of 24 hours between now and the last start on offer; null is five years.';
comment on column public.booking_rules.max_per_day is 'Sessions on one day of the coach''s zone that clients can fill; null is no limit. Cancelled ones do not count.';
comment on column public.booking_rules.week_starts_on is 'The day on which a week of max_per_week begins: 0 is Sunday.';
comment on column public.booking_rules.no_show_grace_minutes is
'For sessions that are made from now on, unless their template has its own: who confirmed and was not checked in so long after the end counts as a no-show. Null: nobody does.';

revoke all on public.booking_rules from public, anon, authenticated, service_role;
grant select, insert, update, delete on public.booking_rules to service_role;
grant select, delete on public.booking_rules to authenticated;
grant insert (coach_id, min_notice_minutes, horizon_days, max_per_day, max_per_week, week_starts_on, no_show_grace_minutes)
on public.booking_rules to authenticated;
grant update (min_notice_minutes, horizon_days, max_per_day, max_per_week, week_starts_on, no_show_grace_minutes)
on public.booking_rules to authenticated;

alter table public.booking_rules enable row level security;

drop policy if exists booking_rules_select_own on public.booking_rules;
create policy booking_rules_select_own on public.booking_rules for select to authenticated
using (coach_id = (select private.me()) or (select private.i_am_admin()));
comment on policy booking_rules_select_own on public.booking_rules is 'The coach and an admin read them; others see what slots they leave.';
drop policy if exists booking_rules_insert_own on public.booking_rules;
create policy booking_rules_insert_own on public.booking_rules for insert to authenticated
with check (coach_id = (select private.me()) and (select private.i_am_coach()));
comment on policy booking_rules_insert_own on public.booking_rules is 'A coach sets rules of their own.';
drop policy if exists booking_rules_update_own on public.booking_rules;
create policy booking_rules_update_own on public.booking_rules for update to authenticated
using (coach_id = (select private.me()))
with check (coach_id = (select private.me()));
comment on policy booking_rules_update_own on public.booking_rules is 'A coach changes rules of their own.';
drop policy if exists booking_rules_delete_own on public.booking_rules;
create policy booking_rules_delete_own on public.booking_rules for delete to authenticated
using (coach_id = (select private.me()));
comment on policy booking_rules_delete_own on public.booking_rules is 'A coach has no rules any more.';

drop trigger if exists booking_rules_touch on public.booking_rules;
create trigger booking_rules_touch before update on public.booking_rules
for each row execute function private.touch_updated_at();
