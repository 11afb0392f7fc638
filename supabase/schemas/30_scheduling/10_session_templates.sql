-- What a coach offers: the review's table, with what a group and the calendar need.

create table if not exists public.session_templates (
  id uuid primary key default gen_random_uuid(),
  coach_id uuid not null references public.users (id) on delete cascade,
  title text not null,
  description text,
  default_duration_minutes integer not null check (default_duration_minutes > 0),
  default_price_cents integer check (default_price_cents >= 0),
  currency text not null default 'ILS',
  metadata jsonb not null default '{}'::jsonb,
  is_active boolean not null default true,
  created_at timestamptz not null default now(),
  updated_at timestamptz not null default now(),
  session_type text not null default 'individual',
  default_capacity integer,
  buffer_before_minutes integer not null default 0,
  buffer_after_minutes integer not null default 0,
  slot_step_minutes integer,
  roster_visible boolean not null default false,
  location text,
  no_show_grace_minutes integer,
  min_notice_minutes integer,
  horizon_days integer,
  max_per_day integer,
  max_per_week integer,
  booking_mode text not null default 'instant',
  request_blocks boolean not null default false,
  hold_minutes integer not null default 15,
  auto_charge text,
  constraint session_templates_title_length check (char_length(btrim(title)) between 1 and 200),
  constraint session_templates_description_length check (char_length(description) <= 5000),
  constraint session_templates_duration_range check (default_duration_minutes between 5 and 1440),
  constraint session_templates_currency_code check (private.is_currency(currency)),
  constraint session_templates_metadata_object check (jsonb_typeof(metadata) = 'object'),
  constraint session_templates_type check (session_type in ('individual', 'group')),
  constraint session_templates_capacity_range check (default_capacity between 1 and 1000),
  constraint session_templates_capacity_of_group check (session_type = 'group' or default_capacity is null),
  constraint session_templates_buffer_range
    check (buffer_before_minutes between 0 and 240 and buffer_after_minutes between 0 and 240),
  constraint session_templates_step_range check (slot_step_minutes between 5 and 1440),
  constraint session_templates_grace_range check (no_show_grace_minutes between 0 and 10080),
  constraint session_templates_notice_range check (min_notice_minutes between 0 and 525600),
  constraint session_templates_horizon_range check (horizon_days between 1 and 1825),
  constraint session_templates_limits_range check (max_per_day between 1 and 100 and max_per_week between 1 and 700),
  constraint session_templates_booking_mode check (booking_mode in ('instant', 'request', 'prepaid')),
  constraint session_templates_auto_charge check (auto_charge in ('off', 'booking', 'session')),
  constraint session_templates_hold_range check (hold_minutes between 1 and 1440)
);
comment on table public.session_templates is
  'What a coach offers. A session takes its length, price and settings from here when it is made and keeps them.';
comment on column public.session_templates.default_price_cents is 'The price of one seat in minor units of currency; null is not decided.';
comment on column public.session_templates.buffer_before_minutes is 'Kept free before a session made from this.';
comment on column public.session_templates.buffer_after_minutes is 'Kept free after a session made from this.';
comment on column public.session_templates.slot_step_minutes is 'Distance between two offered starts; null steps by the duration.';
comment on column public.session_templates.no_show_grace_minutes is
  'Who confirmed and was not checked in so long after the end counts as a no-show; null as booking_rules has it.';
comment on column public.session_templates.min_notice_minutes is 'In place of the coach''s own, see booking_rules; null leaves that.';
comment on column public.session_templates.horizon_days is 'In place of the coach''s own, see booking_rules; null leaves that.';
comment on column public.session_templates.max_per_day is 'Sessions of this template on one day, beside the coach''s limit on all.';
comment on column public.session_templates.booking_mode is
  'How a client gets a session: at once (instant), when the coach has said yes (request), or when a hold was paid for (prepaid).';
comment on column public.session_templates.request_blocks is 'Whether a request keeps its time free until the coach answers.';
comment on column public.session_templates.hold_minutes is 'How long a hold keeps its time free.';
comment on column public.session_templates.auto_charge is 'In place of the practice''s own, see practices; null leaves that.';
comment on column public.session_templates.roster_visible is 'Whether the attendees of a session made from this may see one another''s names.';

create index if not exists session_templates_coach_idx on public.session_templates (coach_id, is_active, title);

revoke all on public.session_templates from public, anon, authenticated, service_role;
grant select, insert, update, delete on public.session_templates to service_role;
grant select on public.session_templates to authenticated;
grant insert (
  coach_id, title, description, default_duration_minutes, default_price_cents, currency, metadata, is_active,
  session_type, default_capacity, buffer_before_minutes, buffer_after_minutes, slot_step_minutes, roster_visible, location,
  min_notice_minutes, horizon_days, max_per_day, max_per_week, booking_mode, request_blocks, hold_minutes, no_show_grace_minutes,
  auto_charge
) on public.session_templates to authenticated;
grant update (
  title, description, default_duration_minutes, default_price_cents, currency, metadata, is_active,
  session_type, default_capacity, buffer_before_minutes, buffer_after_minutes, slot_step_minutes, roster_visible, location,
  min_notice_minutes, horizon_days, max_per_day, max_per_week, booking_mode, request_blocks, hold_minutes, no_show_grace_minutes,
  auto_charge
) on public.session_templates to authenticated;

alter table public.session_templates enable row level security;

drop policy if exists session_templates_select_people on public.session_templates;
create policy session_templates_select_people on public.session_templates for select to authenticated
  using (
    coach_id = (select private.me())
    or (is_active and (select private.me()) is not null)
    or (select private.i_am_admin())
  );
comment on policy session_templates_select_people on public.session_templates is
  'Everybody signed in sees what is on offer; a coach also sees what was taken off.';

drop policy if exists session_templates_insert_coach on public.session_templates;
create policy session_templates_insert_coach on public.session_templates for insert to authenticated
  with check (coach_id = (select private.me()) and (select private.i_am_coach()));
comment on policy session_templates_insert_coach on public.session_templates is 'A coach makes templates of their own.';

drop policy if exists session_templates_update_coach on public.session_templates;
create policy session_templates_update_coach on public.session_templates for update to authenticated
  using (coach_id = (select private.me()) and (select private.i_am_coach()))
  with check (coach_id = (select private.me()));
comment on policy session_templates_update_coach on public.session_templates is 'A coach changes templates of their own.';

drop trigger if exists session_templates_touch on public.session_templates;
create trigger session_templates_touch before update on public.session_templates
  for each row execute function private.touch_updated_at();
