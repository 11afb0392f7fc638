-- What is owed for a seat that was given up, moved late or missed. Billing acts on it; nothing here moves money.

create table if not exists public.seat_outcomes (
  id uuid primary key default gen_random_uuid(),
  session_id uuid not null references public.sessions (id) on delete cascade,
  attendee_id uuid not null references public.session_attendees (id) on delete cascade,
  coach_id uuid not null references public.users (id) on delete cascade,
  kind text not null,
  by_coach boolean not null,
  notice_minutes integer,
  tier jsonb,
  amount_cents integer,
  currency text not null,
  forfeits boolean not null default false,
  waived_at timestamptz,
  waived_by uuid references public.users (id) on delete set null,
  waive_reason text,
  undone_at timestamptz,
  owed_cents integer generated always as (case when waived_at is null and undone_at is null then amount_cents else 0 end) stored,
  created_at timestamptz not null default now(),
  updated_at timestamptz not null default now(),
  constraint seat_outcomes_kind check (kind in ('cancelled', 'moved', 'no_show')),
  constraint seat_outcomes_amount_range check (amount_cents >= 0),
  constraint seat_outcomes_currency_code check (private.is_currency(currency)),
  constraint seat_outcomes_reason_length check (char_length(waive_reason) <= 2000)
);
comment on table public.seat_outcomes is
  'One row for each seat given up, moved late or missed: what is owed for it by the terms it was booked under, nothing when the coach cancelled. What was paid beyond owed_cents is to be given back.';
comment on column public.seat_outcomes.tier is 'The tier of the seat''s terms that applied; null when it was early enough, or the coach''s doing.';
comment on column public.seat_outcomes.amount_cents is 'By the terms, in minor units of currency; null where the seat''s price is not decided.';
comment on column public.seat_outcomes.owed_cents is 'amount_cents, or nothing once waived or undone. This is what billing reads.';
comment on column public.seat_outcomes.forfeits is 'The whole price is owed, or the credit spent.';
comment on column public.seat_outcomes.undone_at is 'When the seat was taken again, or the miss taken back.';

create index if not exists seat_outcomes_session_idx on public.seat_outcomes (session_id);
create index if not exists seat_outcomes_attendee_idx on public.seat_outcomes (attendee_id);
create index if not exists seat_outcomes_coach_idx on public.seat_outcomes (coach_id, created_at, id);
create index if not exists seat_outcomes_waived_by_idx on public.seat_outcomes (waived_by);

revoke all on public.seat_outcomes from public, anon, authenticated, service_role;
grant select, insert, update, delete on public.seat_outcomes to service_role;
grant select on public.seat_outcomes to authenticated;

alter table public.seat_outcomes enable row level security;

create or replace function private.my_seat_ids()
returns uuid[]
language sql
stable
security definer
set search_path = ''
as $$
  select coalesce(array_agg(a.id), '{}') from public.session_attendees as a
  where a.user_id = private.me() and a.role <> 'coach';
$$;
revoke execute on function private.my_seat_ids() from public, anon, authenticated, service_role;
grant execute on function private.my_seat_ids() to authenticated, service_role;
comment on function private.my_seat_ids() is
  'security definer: for policies of other tables, which must not read seats under their policies. The caller''s seats, given up or not, the coach''s own apart.';

drop policy if exists seat_outcomes_select_people on public.seat_outcomes;
create policy seat_outcomes_select_people on public.seat_outcomes for select to authenticated
  using (
    coach_id = (select private.me())
    or attendee_id = any ((select private.my_seat_ids())::uuid[])
    or (select private.i_am_admin())
  );
comment on policy seat_outcomes_select_people on public.seat_outcomes is
  'What is owed is seen by the seat''s own person, the coach and an admin.';

drop trigger if exists seat_outcomes_touch on public.seat_outcomes;
create trigger seat_outcomes_touch before update on public.seat_outcomes
  for each row execute function private.touch_updated_at();

create or replace function private.record_outcome(p_attendee_id uuid, p_kind text, p_starts_at timestamptz, p_by uuid)
returns void
language plpgsql
security definer
set search_path = ''
as $$
declare
  v_seat public.session_attendees;
  v_by_coach boolean;
  v_notice interval := p_starts_at - now();
  v_cost record;
begin
  select * into v_seat from public.session_attendees where id = p_attendee_id;
  -- A guest's link acts without a person: whoever holds it is the seat's own. Jobs and imports cost nobody anything.
  v_by_coach := p_kind <> 'no_show' and (not private.acting_as_api() or p_by is not distinct from v_seat.coach_id);
  select * into v_cost from private.terms_cost(
    case when not v_by_coach then v_seat.terms end, case when p_kind = 'no_show' then interval '-1 minute' else v_notice end,
    v_seat.price_cents, v_seat.currency);
  if p_kind = 'moved' and v_cost.tier is null then
    return;
  end if;
  insert into public.seat_outcomes (
    session_id, attendee_id, coach_id, kind, by_coach, notice_minutes, tier, amount_cents, currency, forfeits)
  values (
    v_seat.session_id, v_seat.id, v_seat.coach_id, p_kind, v_by_coach,
    least(greatest(extract(epoch from v_notice) / 60, -2147483648), 2147483647)::integer,
    v_cost.tier, v_cost.amount_cents, v_cost.currency, v_cost.forfeits);
end;
$$;
revoke execute on function private.record_outcome(uuid, text, timestamptz, uuid) from public, anon, authenticated, service_role;
comment on function private.record_outcome(uuid, text, timestamptz, uuid) is
  'security definer: outcomes are written by what happens alone. Writes what a seat owes for being cancelled, moved (a row only when late) or a no_show, under its own terms and from the start it had. p_by is who wanted it so, whoever did it.';

create or replace function private.undo_outcome(p_attendee_id uuid, p_kind text)
returns void
language sql
volatile
security definer
set search_path = ''
as $$
  update public.seat_outcomes set undone_at = now() where attendee_id = p_attendee_id and kind = p_kind and undone_at is null;
$$;
revoke execute on function private.undo_outcome(uuid, text) from public, anon, authenticated, service_role;
comment on function private.undo_outcome(uuid, text) is
  'security definer: outcomes are written by what happens alone. A seat was taken again, or a miss taken back: it owes nothing for that any more.';

create or replace function private.seat_left_or_back()
returns trigger
language plpgsql
security definer
set search_path = ''
as $$
declare
  v_stays boolean := private.takes_a_place(new.role, new.status, new.cancelled_at);
begin
  if (new.attendance = 'no_show') is true and (old.attendance = 'no_show') is not true then
    perform private.record_outcome(
      new.id, 'no_show', (select s.scheduled_at from public.sessions as s where s.id = new.session_id), null);
  elsif (old.attendance = 'no_show') is true and (new.attendance = 'no_show') is not true then
    perform private.undo_outcome(new.id, 'no_show');
  end if;
  if v_stays = private.takes_a_place(old.role, old.status, old.cancelled_at) then
    return null;
  elsif v_stays then
    perform private.undo_outcome(new.id, 'cancelled');
  elsif old.status <> 'invited' or old.billing_status <> 'unbilled' then
    -- Whoever had not said yes owes nothing, and has nothing to get back.
    perform private.record_outcome(
      new.id, 'cancelled', (select s.scheduled_at from public.sessions as s where s.id = new.session_id),
      case when new.cancelled_at is null then private.me() else new.cancelled_by end);
  end if;
  return null;
end;
$$;
revoke execute on function private.seat_left_or_back() from public, anon, authenticated, service_role;
comment on function private.seat_left_or_back() is
  'security definer: outcomes are written by what happens alone. Trigger: whoever gives up a seat, by whatever way, or is missed in it gets an outcome.';

drop trigger if exists session_attendees_outcome on public.session_attendees;
create trigger session_attendees_outcome after update of status, cancelled_at, attendance on public.session_attendees
  for each row when (new.role <> 'coach') execute function private.seat_left_or_back();

create or replace function public.waive_outcome(p_outcome_id uuid, p_reason text default null)
returns uuid
language plpgsql
volatile
security definer
set search_path = ''
as $$
declare
  v_outcome public.seat_outcomes;
begin
  select * into v_outcome from public.seat_outcomes where id = p_outcome_id and coach_id = private.me() for no key update;
  if v_outcome.id is null then
    perform private.fail(404, 'not_found', 'There is no such thing, or it is not yours.');
  end if;
  update public.seat_outcomes set waived_at = now(), waived_by = private.me(), waive_reason = left(p_reason, 2000)
  where id = p_outcome_id and waived_at is null;
  return p_outcome_id;
end;
$$;
revoke execute on function public.waive_outcome(uuid, text) from public, anon, authenticated, service_role;
grant execute on function public.waive_outcome(uuid, text) to authenticated;
comment on function public.waive_outcome(uuid, text) is
  'security definer: nobody may update outcomes. The coach lets somebody off; twice changes nothing more.';
