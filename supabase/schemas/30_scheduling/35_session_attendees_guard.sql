-- Capacity, the moves of a seat, and what follows from the seats.

create or replace function private.claim_place(p_session_id uuid, p_except uuid)
returns void
language plpgsql
security definer
set search_path = ''
as $$
declare
  v_capacity integer;
begin
  -- The lock makes concurrent claims queue; the count below is a statement of its own, so that it sees what they wrote.
  perform private.need_read_committed();
  select s.capacity into v_capacity from public.sessions as s where s.id = p_session_id for no key update;
  if v_capacity <= (
    select count(*) from public.session_attendees as a
    where a.session_id = p_session_id and a.id <> p_except and private.takes_a_place(a.role, a.status, a.cancelled_at)
  ) then
    perform private.fail(409, 'session_full', 'Every seat is taken.');
  end if;
end;
$$;
revoke execute on function private.claim_place(uuid, uuid) from public, anon, authenticated, service_role;
comment on function private.claim_place(uuid, uuid) is
  'security definer: locks a session and counts seats that the caller may not see. Refuses when no place is left.';

create or replace function private.session_attendees_before_insert()
returns trigger
language plpgsql
security definer
set search_path = ''
as $$
declare
  v_session public.sessions;
begin
  select * into v_session from public.sessions where id = new.session_id;
  if not found then
    perform private.fail(404, 'not_found', 'There is no such thing, or it is not yours.');
  end if;
  new.coach_id := v_session.coach_id;
  new.email := lower(nullif(btrim(new.email), ''));
  new.currency := coalesce(new.currency, v_session.currency);
  if new.currency <> v_session.currency then
    perform private.fail(422, 'currency_mismatch', 'A seat has the currency of its session.');
  end if;
  if new.role <> 'coach' then
    new.price_cents := coalesce(new.price_cents, v_session.price_cents);
  end if;
  if new.coach_client_id is null and new.role <> 'coach' then
    select c.id into new.coach_client_id from public.coach_clients as c
    where c.coach_id = new.coach_id
      and (c.client_id = new.user_id or (new.user_id is null and lower(c.email) = new.email))
    order by c.created_at limit 1;
  end if;
  if new.status = 'checked_in' or (new.checked_in_at is not null and new.status <> 'declined') then
    new.status := 'checked_in';
    new.checked_in_at := coalesce(new.checked_in_at, now());
    new.attendance := coalesce(new.attendance, 'in');
  end if;
  if new.status = 'confirmed' and new.role <> 'coach' then
    new.responded_at := coalesce(new.responded_at, new.created_at);
  end if;
  if new.terms is null and new.role <> 'coach' and v_session.status = 'scheduled' and v_session.scheduled_at > now() then
    new.terms := private.terms_in_force(new.coach_id, v_session.template_id);
  end if;
  if private.takes_a_place(new.role, new.status, new.cancelled_at) then
    perform private.claim_place(new.session_id, new.id);
  end if;
  return new;
end;
$$;
revoke execute on function private.session_attendees_before_insert() from public, anon, authenticated, service_role;
comment on function private.session_attendees_before_insert() is
  'security definer: reads the session and the coach''s clients whoever inserts. Fills a seat and claims its place.';

drop trigger if exists session_attendees_before_insert on public.session_attendees;
create trigger session_attendees_before_insert before insert on public.session_attendees
  for each row execute function private.session_attendees_before_insert();

create or replace function private.session_attendees_before_update()
returns trigger
language plpgsql
security definer
set search_path = ''
as $$
begin
  if (new.session_id, new.role) is distinct from (old.session_id, old.role) then
    perform private.fail(409, 'seat_fixed', 'A seat stays in its session and role.');
  end if;
  if new.status is distinct from old.status then
    if not private.seat_may_become(old.status, new.status) or (old.cancelled_at is not null and new.cancelled_at is not null) then
      perform private.fail(409, 'seat_state_conflict', case
        when old.cancelled_at is not null then 'The seat was given up.'
        else format('A seat that is %s cannot become %s.', old.status, new.status)
      end);
    end if;
    new.checked_in_at := case when new.status = 'checked_in' then coalesce(new.checked_in_at, now()) end;
    if new.attendance is not distinct from old.attendance then
      new.attendance := case when new.status = 'checked_in' then 'in' end;
    end if;
  end if;
  if new.price_cents is distinct from old.price_cents or new.currency is distinct from old.currency then
    if old.billing_status <> 'unbilled' then
      perform private.fail(409, 'seat_billed', 'The seat is on an invoice; its price stands.');
    elsif new.role = 'coach' and new.price_cents is not null then
      perform private.fail(422, 'seat_has_no_price', 'The coach''s own seat has no price.');
    end if;
  end if;
  if private.takes_a_place(new.role, new.status, new.cancelled_at)
    and not private.takes_a_place(old.role, old.status, old.cancelled_at) then
    perform private.claim_place(new.session_id, new.id);
  end if;
  return new;
end;
$$;
revoke execute on function private.session_attendees_before_update() from public, anon, authenticated, service_role;
comment on function private.session_attendees_before_update() is
  'security definer: claims places among seats that the caller may not see. Holds the moves and the price of a seat.';

drop trigger if exists session_attendees_before_update on public.session_attendees;
create trigger session_attendees_before_update before update on public.session_attendees
  for each row execute function private.session_attendees_before_update();

create or replace function private.session_attendees_before_delete()
returns trigger
language plpgsql
security definer
set search_path = ''
as $$
begin
  if old.billing_status <> 'unbilled' then
    perform private.fail(409, 'seat_billed', 'The seat is on an invoice. Cancel it instead of deleting it.');
  end if;
  return old;
end;
$$;
revoke execute on function private.session_attendees_before_delete() from public, anon, authenticated, service_role;
comment on function private.session_attendees_before_delete() is
  'security definer: runs inside cascades of other roles. What money hangs on is not deleted, neither directly nor with its session.';

drop trigger if exists session_attendees_before_delete on public.session_attendees;
create trigger session_attendees_before_delete before delete on public.session_attendees
  for each row execute function private.session_attendees_before_delete();

create or replace function private.session_billing(p_session_id uuid)
returns public.session_billing_status
language sql
stable
security definer
set search_path = ''
as $$
  -- The least settled seat decides. The labels stand in that order, so the smallest is it.
  -- A free seat, or one given up before it was billed, has nothing to settle.
  select coalesce(min(a.billing_status), 'unbilled')
  from public.session_attendees as a
  where a.session_id = p_session_id and a.role <> 'coach'
    and (
      a.billing_status <> 'unbilled'
      or (a.price_cents is distinct from 0 and private.takes_a_place(a.role, a.status, a.cancelled_at))
    );
$$;
revoke execute on function private.session_billing(uuid) from public, anon, authenticated, service_role;
comment on function private.session_billing(uuid) is
  'security definer: sums up seats that the caller may not see. The billing status of a session as its seats have it.';

create or replace function private.session_attendees_after()
returns trigger
language plpgsql
security definer
set search_path = ''
as $$
declare
  v_session_id uuid := case when tg_op = 'DELETE' then old.session_id else new.session_id end;
  v_role public.session_attendee_role := case when tg_op = 'DELETE' then old.role else new.role end;
  v_kind text;
begin
  if v_role <> 'coach' then
    update public.sessions as s set billing_status = private.session_billing(s.id)
    where s.id = v_session_id and s.billing_status is distinct from private.session_billing(s.id);
  end if;
  if tg_op = 'DELETE' then
    return null;
  end if;
  if tg_op = 'INSERT' then
    v_kind := case when new.status = 'invited' then 'seat_invited' end;
  elsif new.cancelled_at is not null and old.cancelled_at is null then
    v_kind := 'seat_cancelled';
    update private.access_links set revoked_at = now() where attendee_id = new.id and revoked_at is null;
  elsif new.status is distinct from old.status then
    v_kind := case when old.status = 'checked_in' then 'seat_check_in_undone' else 'seat_' || new.status end;
  end if;
  if v_kind is not null then
    insert into public.session_events (session_id, coach_id, attendee_id, kind, actor_id, details)
    values (
      new.session_id, new.coach_id, new.id, v_kind, private.me(),
      jsonb_strip_nulls(jsonb_build_object('reason', case when v_kind = 'seat_cancelled' then new.cancellation_reason end)));
  end if;
  return null;
end;
$$;
revoke execute on function private.session_attendees_after() from public, anon, authenticated, service_role;
comment on function private.session_attendees_after() is
  'security definer: writes the session and its history, which no API role may. Keeps what follows from the seats.';

drop trigger if exists session_attendees_after on public.session_attendees;
create trigger session_attendees_after after insert or update or delete on public.session_attendees
  for each row execute function private.session_attendees_after();
