-- The small rules of sessions and seats that have no table of their own.

create or replace function private.session_moves()
returns table (from_status public.session_status, to_status public.session_status, by_client boolean, opens interval)
language sql
immutable
set search_path = ''
as $$
  values
    -- Started early when both are there, but not days before: a session that runs can no longer be moved.
    ('scheduled'::public.session_status, 'in_progress'::public.session_status, false, interval '-1 hour'),
    ('scheduled', 'completed', false, interval '0'),
    ('scheduled', 'no_show', false, interval '0'),
    ('scheduled', 'cancelled', true, null),
    ('in_progress', 'completed', false, null),
    ('in_progress', 'no_show', false, interval '0'),
    ('in_progress', 'cancelled', false, null);
$$;
revoke execute on function private.session_moves() from public, anon, authenticated, service_role;
comment on function private.session_moves() is
  'The moves of a session, for whoever makes them. People are held to who and when as well: the coach makes all of them, the one client of an individual session those of by_client and only until the start; none is made before opens, counted from the start (null: any time). rescheduled is an old end state: it can be read and imported, never entered.';

create or replace function private.seat_may_become(
  p_from public.session_attendee_status, p_to public.session_attendee_status
)
returns boolean
language sql
immutable
set search_path = ''
as $$
  select case p_from
    when 'invited' then p_to in ('confirmed', 'declined', 'checked_in')
    when 'confirmed' then p_to in ('invited', 'declined', 'checked_in')
    when 'declined' then p_to in ('invited', 'confirmed')
    when 'checked_in' then p_to in ('invited', 'confirmed')
  end;
$$;
revoke execute on function private.seat_may_become(public.session_attendee_status, public.session_attendee_status)
  from public, anon, authenticated, service_role;
comment on function private.seat_may_become(public.session_attendee_status, public.session_attendee_status) is
  'The moves of a seat. Nobody who declined is checked in; a check-in can be taken back.';

-- A seat that counts against the capacity.
create or replace function private.takes_a_place(
  p_role public.session_attendee_role, p_status public.session_attendee_status, p_cancelled_at timestamptz
)
returns boolean
language sql
immutable
set search_path = ''
as $$
  select p_role <> 'coach' and p_status <> 'declined' and p_cancelled_at is null;
$$;
revoke execute on function private.takes_a_place(
  public.session_attendee_role, public.session_attendee_status, timestamptz
) from public, anon, authenticated, service_role;
comment on function private.takes_a_place(
  public.session_attendee_role, public.session_attendee_status, timestamptz
) is 'Whether a seat counts against the capacity: the coach never does, nor who declined or was taken out.';

create or replace function private.need_read_committed()
returns void
language plpgsql
stable
security invoker
set search_path = ''
as $$
begin
  -- A snapshot taken before the lock does not see what was written by whoever held it, and among transactions of both kinds
  -- PostgreSQL does not notice.
  if current_setting('transaction_isolation') in ('repeatable read', 'serializable') then
    raise exception using errcode = 'invalid_transaction_state',
      message = 'Seats and time are taken in READ COMMITTED transactions.';
  end if;
end;
$$;
revoke execute on function private.need_read_committed() from public, anon, authenticated, service_role;
comment on function private.need_read_committed() is
  'Refuses a transaction whose statements would not see what others wrote while it waited for their lock.';
