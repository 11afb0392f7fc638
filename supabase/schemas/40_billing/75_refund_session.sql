-- A cancelled session gives each of its people back what that person paid beyond what is owed by the terms of the seat.

create or replace function public.refund_cancelled_session(p_session_id uuid) returns setof uuid
  language plpgsql security definer set search_path = '' as $$
declare
  v_seat record;
  v_part record;
  v_left bigint;
  v_given bigint;
  v_tries integer;
begin
  perform from public.sessions s join public.practice_members m on m.user_id = s.coach_id where s.id = p_session_id
    and (not private.acting_as_api() or m.practice_id = any ((select private.my_practice_ids())::uuid[]));
  if not found then perform private.fail(404, 'not_found', 'There is no such thing here.'); end if;
  for v_seat in
    -- What was paid for the seat less what is owed for it, with the tax that the document put on its lines, or none where
    -- prices have it in them.
    select o.id, l.invoice_id, round((l.line_total_cents - coalesce(o.owed_cents, 0))::numeric * i.total_amount_cents
      / nullif((select sum(x.line_total_cents) from public.invoice_line_items x where x.invoice_id = i.id), 0)) as unowed
    from public.seat_outcomes o
    join public.invoice_line_items l on l.attendee_id = o.attendee_id and l.released_at is null
    join public.invoices i on i.id = l.invoice_id and i.finalized_at is not null and i.status <> 'canceled'
    where o.session_id = p_session_id and o.kind = 'cancelled' and o.undone_at is null
    order by l.invoice_id, o.id
  loop
    v_left := greatest(coalesce(v_seat.unowed, 0), 0);
    for v_part in select a.payment_id, a.amount_cents from public.payment_allocations a where a.invoice_id = v_seat.invoice_id
                  order by a.created_at desc, a.id desc loop
      exit when v_left = 0;
      -- Asked again, what was given back for this seat already counts; what the gateway did not give back is tried once more.
      select coalesce(sum(r.amount_cents) filter (where r.status <> 'failed'), 0), count(*) into v_given, v_tries
        from public.payment_refunds r where r.payment_id = v_part.payment_id and starts_with(r.idempotency_key, 'seat:' || v_seat.id);
      if v_given = 0 then
        select least(v_left, v_part.amount_cents, p.amount_cents - p.refund_reserved_cents) into v_given
          from public.payments p where p.id = v_part.payment_id;
        continue when v_given <= 0;
        return next public.request_refund(v_part.payment_id, v_given::integer, 'The session was cancelled.', format('seat:%s:%s', v_seat.id, v_tries));
      end if;
      v_left := greatest(v_left - v_given, 0);
    end loop;
  end loop;
end $$;
comment on function public.refund_cancelled_session(uuid) is
  'security definer: a coach gives the people of a cancelled session back what each paid beyond what is owed for the seat. Returns the new refunds; repeating it gives nothing twice.';
revoke execute on function public.refund_cancelled_session(uuid) from public, anon, authenticated, service_role;
grant execute on function public.refund_cancelled_session(uuid) to authenticated, service_role;
