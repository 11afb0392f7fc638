create or replace function public.cancellation_quote(p_session_id uuid, p_attendee_id uuid default null)
returns jsonb
language plpgsql
stable
security definer
set search_path = ''
as $$
declare
  v_session public.sessions;
  v_seat public.session_attendees;
  v_cost record;
begin
  select a.* into v_seat from public.session_attendees as a
  where a.session_id = p_session_id and a.role <> 'coach' and a.cancelled_at is null
    and case
      when p_attendee_id is null then a.user_id = private.me()
      else a.id = p_attendee_id and (a.user_id = private.me() or a.coach_id = private.me())
    end;
  if v_seat.id is null then
    perform private.fail(404, 'not_found', 'There is no such thing, or it is not yours.');
  end if;
  select * into v_session from public.sessions where id = p_session_id;
  select * into v_cost
  from private.terms_cost(v_seat.terms, v_session.scheduled_at - now(), v_seat.price_cents, v_seat.currency);
  return jsonb_build_object(
    'attendee_id', v_seat.id,
    'starts_at', v_session.scheduled_at,
    'as_of', now(),
    'price_cents', v_seat.price_cents,
    'amount_cents', v_cost.amount_cents,
    'currency', v_cost.currency,
    'forfeits', v_cost.forfeits,
    -- Each change of what it costs, as an instant: nobody has to count hours across a clock change.
    'steps', (
      select coalesce(jsonb_agg(jsonb_build_object(
        'after', s.at, 'amount_cents', c.amount_cents, 'currency', c.currency, 'forfeits', c.forfeits) order by s.at), '[]')
      from jsonb_array_elements(v_seat.terms -> 'tiers') as t
      cross join lateral (select v_session.scheduled_at - make_interval(hours => (t ->> 'hours')::integer) as at) as s
      cross join lateral private.terms_cost(
        v_seat.terms, v_session.scheduled_at - s.at - interval '1 second', v_seat.price_cents, v_seat.currency) as c),
    'moves_made', v_seat.moves_made,
    'free_moves', (v_seat.terms ->> 'free_moves')::integer,
    'may_move', v_session.type = 'individual' and v_session.status = 'scheduled' and v_session.scheduled_at > now()
      and coalesce(v_seat.moves_made < (v_seat.terms ->> 'free_moves')::integer, true)
      and (v_cost.tier is null or v_seat.terms ->> 'late_moves' = 'charge'));
end;
$$;
revoke execute on function public.cancellation_quote(uuid, uuid) from public, anon, authenticated, service_role;
grant execute on function public.cancellation_quote(uuid, uuid) to authenticated;
comment on function public.cancellation_quote(uuid, uuid) is
  'security definer: shares terms_cost with cancelling, so that what is shown is what is owed. What giving up one''s own seat (or, for the coach, a seat of the session) costs now and from which instants on, and whether its person may still move it.';
