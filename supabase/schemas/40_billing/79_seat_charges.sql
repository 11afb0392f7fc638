-- Charges that happen by themselves: a seat that was booked, or was held, is charged to the card that its client consented to.

create table if not exists private.seat_charges (
  attendee_id uuid primary key references public.session_attendees (id) on delete cascade,
  due_at timestamptz,
  intent_id uuid references public.payment_intents (id) on delete restrict,
  skipped text,
  created_at timestamptz not null default now()
);
comment on table private.seat_charges is
  'Seats that are charged by themselves, one row for each however often its session changes: that is what makes it once.';
comment on column private.seat_charges.due_at is 'When the worker takes it; moved on while one has it. Null once the attempt has begun or there is nothing to charge.';
comment on column private.seat_charges.skipped is 'Why nothing was charged: given_up, missed, billed, free, or the code of the refusal.';
create index if not exists seat_charges_due_idx on private.seat_charges (due_at) where due_at is not null;
create index if not exists seat_charges_intent_idx on private.seat_charges (intent_id);
revoke all on private.seat_charges from public, anon, authenticated, service_role;
alter table private.seat_charges enable row level security;

create or replace function private.plan_seat_charge(p_seat public.session_attendees, p_session public.sessions, p_moment text) returns void
  language plpgsql security definer set search_path = '' as $$
declare
  v_moment text;
begin
  select coalesce(t.auto_charge, p.auto_charge) into v_moment
  from public.practice_members m join public.practices p on p.id = m.practice_id
  left join public.session_templates t on t.id = p_session.template_id
  where m.user_id = p_session.coach_id;
  if v_moment is distinct from p_moment or coalesce(p_seat.price_cents, 0) = 0 or p_seat.billing_status <> 'unbilled' then return; end if;
  insert into private.seat_charges as c (attendee_id, due_at)
  -- An hour in which a session that was closed by mistake, or an attendance, can be put right.
  values (p_seat.id, now() + case p_moment when 'session' then interval '1 hour' else interval '0' end)
  on conflict (attendee_id) do update set due_at = excluded.due_at, skipped = null
    where c.intent_id is null and c.due_at is null;
end $$;
comment on function private.plan_seat_charge(public.session_attendees, public.sessions, text) is
  'security definer: charges are planned by nobody directly. Notes a seat to be charged by itself, where practice or template want it at this moment.';
revoke execute on function private.plan_seat_charge(public.session_attendees, public.sessions, text) from public, anon, authenticated, service_role;

create or replace function private.charge_seat_at_booking() returns trigger
  language plpgsql security definer set search_path = '' as $$
begin
  perform private.plan_seat_charge(new, s, 'booking') from public.sessions s
  where s.id = new.session_id and s.status = 'scheduled' and s.scheduled_at > now();
  return null;
end $$;
comment on function private.charge_seat_at_booking() is 'security definer: calls a helper that no API role may. Trigger: a seat that is taken may be charged at once.';
revoke execute on function private.charge_seat_at_booking() from public, anon, authenticated, service_role;
drop trigger if exists session_attendees_charge_new on public.session_attendees;
create trigger session_attendees_charge_new after insert on public.session_attendees
  for each row when (new.role = 'client' and new.status = 'confirmed' and new.cancelled_at is null)
  execute function private.charge_seat_at_booking();
drop trigger if exists session_attendees_charge on public.session_attendees;
create trigger session_attendees_charge after update of status, cancelled_at on public.session_attendees
  for each row when (new.role = 'client' and new.status = 'confirmed' and new.cancelled_at is null
    and (old.status, old.cancelled_at) is distinct from (new.status, new.cancelled_at))
  execute function private.charge_seat_at_booking();

create or replace function private.charge_seats_of_session() returns trigger
  language plpgsql security definer set search_path = '' as $$
begin
  perform private.plan_seat_charge(a, new, 'session') from public.session_attendees a
  where a.session_id = new.id and a.role = 'client' and private.takes_a_place(a.role, a.status, a.cancelled_at);
  return null;
end $$;
comment on function private.charge_seats_of_session() is 'security definer: calls a helper that no API role may. Trigger: seats of a session that took place may be charged.';
revoke execute on function private.charge_seats_of_session() from public, anon, authenticated, service_role;
drop trigger if exists sessions_charge on public.sessions;
create trigger sessions_charge after update of status on public.sessions
  for each row when (new.status = 'completed' and old.status <> 'completed') execute function private.charge_seats_of_session();

create or replace function public.take_seat_charges(p_limit integer default 50) returns setof uuid
  language sql security definer set search_path = '' as $$
  -- Ten minutes for whoever takes it; a worker that died leaves it to the next.
  update private.seat_charges c set due_at = now() + interval '10 minutes'
  where c.attendee_id in (select x.attendee_id from private.seat_charges x where x.due_at <= now()
    order by x.due_at limit p_limit for update skip locked)
  returning c.attendee_id
$$;
comment on function public.take_seat_charges(integer) is
  'security definer: moves guarded rows for the service. Seats whose charge is due; nobody else gets the same for ten minutes.';

create or replace function private.why_not_charged(p_seat public.session_attendees) returns text
  language sql stable security definer set search_path = '' as $$
  select case
    when s.status in ('cancelled', 'rescheduled') or not private.takes_a_place(p_seat.role, p_seat.status, p_seat.cancelled_at) then 'given_up'
    -- Who missed it owes what the terms say for that, which is billed by itself.
    when s.status = 'no_show' or exists (select from public.seat_outcomes o
      where o.attendee_id = p_seat.id and o.kind = 'no_show' and o.undone_at is null) then 'missed'
    when p_seat.billing_status <> 'unbilled' or exists (select from public.invoice_line_items l
      where l.attendee_id = p_seat.id and l.released_at is null) then 'billed'
    when coalesce(p_seat.price_cents, 0) = 0 then 'free'
    else private.why_no_method(p_seat.user_id, (select g.id from public.gateway_accounts g join public.practice_members m
      on m.practice_id = g.practice_id where m.user_id = p_seat.coach_id and g.disabled_at is null
      order by g.is_default desc, g.created_at, g.id limit 1)) end
  from public.sessions s where s.id = p_seat.session_id
$$;
comment on function private.why_not_charged(public.session_attendees) is
  'security definer: reads cards and outcomes of others. Why a seat is not to be charged by itself as things stand; null where it is.';
revoke execute on function private.why_not_charged(public.session_attendees) from public, anon, authenticated, service_role;

create or replace function public.begin_seat_charge(p_attendee_id uuid) returns uuid
  language plpgsql security definer set search_path = '' as $$
declare
  v_charge private.seat_charges;
  v_seat public.session_attendees;
  v_reason text;
begin
  select * into v_charge from private.seat_charges c where c.attendee_id = p_attendee_id for update;
  if v_charge.due_at is null or v_charge.intent_id is not null then return v_charge.intent_id; end if;
  perform from public.sessions s join public.session_attendees a on a.session_id = s.id where a.id = p_attendee_id for no key update of s;
  select * into v_seat from public.session_attendees a where a.id = p_attendee_id for no key update;
  v_reason := private.why_not_charged(v_seat);
  if v_reason = 'method_expired' then
    perform private.end_payment_method(m.id, 'expired_card')
    from public.payment_methods m join public.practice_members p on p.practice_id = m.practice_id
    where p.user_id = v_seat.coach_id and m.user_id = v_seat.user_id and m.off_session and private.method_expired(m.exp_month, m.exp_year);
  elsif v_reason is null then
    begin
      v_charge.intent_id := public.begin_off_session_charge(private.invoice_seat(p_attendee_id));
    exception when sqlstate 'PT404' or sqlstate 'PT409' or sqlstate 'PT422' then
      get stacked diagnostics v_reason = constraint_name;
    end;
  end if;
  update private.seat_charges set intent_id = v_charge.intent_id, skipped = v_reason,
    due_at = case when v_reason is null then due_at end
  where attendee_id = p_attendee_id;
  return v_charge.intent_id;
end $$;
comment on function public.begin_seat_charge(uuid) is
  'security definer: moves guarded rows for the service. Bills a seat that is to be charged by itself and begins the charge; the same intent when called again, null where nothing is to be charged.';

create or replace function public.begin_seat_attempt(p_attendee_id uuid) returns uuid
  language plpgsql security definer set search_path = '' as $$
declare
  v_charge private.seat_charges;
  v_payment uuid;
  v_code text;
begin
  select * into v_charge from private.seat_charges c where c.attendee_id = p_attendee_id for update;
  if v_charge.due_at is null or v_charge.intent_id is null then return null; end if;
  begin
    -- There is one attempt, whatever became of it: after that its owner is asked to pay.
    v_payment := public.begin_payment_attempt(i.id, i.payment_method_id) from public.payment_intents i
      where i.id = v_charge.intent_id and not exists (select from public.payments p where p.intent_id = i.id);
  exception when sqlstate 'PT409' or sqlstate 'PT404' then
    get stacked diagnostics v_code = constraint_name;
    if v_code = 'intent_not_ready' then return null; end if;
  end;
  update private.seat_charges set due_at = null, skipped = v_code where attendee_id = p_attendee_id;
  return v_payment;
end $$;
comment on function public.begin_seat_attempt(uuid) is
  'security definer: moves guarded rows for the service. The pending payment of the one attempt to charge a seat; null where there was one, or it cannot be made now.';

revoke execute on function public.take_seat_charges(integer), public.begin_seat_charge(uuid), public.begin_seat_attempt(uuid)
  from public, anon, authenticated, service_role;
grant execute on function public.take_seat_charges(integer), public.begin_seat_charge(uuid), public.begin_seat_attempt(uuid) to service_role;
