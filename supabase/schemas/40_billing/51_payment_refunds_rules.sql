-- Guards of refunds, by row lock on the payment, so that plain inserts obey too.

create or replace function private.lock_money_of(p_payment_id uuid) returns public.payments
  language plpgsql security definer set search_path = '' as $$
declare
  v_payment public.payments;
begin
  -- Invoices before payments, everywhere: one order, no deadlock.
  perform from public.invoices i where i.id in
    (select a.invoice_id from public.payment_allocations a where a.payment_id = p_payment_id) order by i.id for no key update;
  select * into v_payment from public.payments p where p.id = p_payment_id for no key update;
  return v_payment;
end $$;
comment on function private.lock_money_of(uuid) is 'security definer: locks a payment and the invoices it pays, whoever writes.';
revoke execute on function private.lock_money_of(uuid) from public, anon, authenticated, service_role;

create or replace function private.keep_refund() returns trigger
  language plpgsql security definer set search_path = '' as $$
declare
  v_payment public.payments;
  v_others bigint;
begin
  if tg_op = 'DELETE' then
    perform private.fail(409, 'money_is_kept', 'Refunds are never deleted.');
  end if;
  v_payment := private.lock_money_of(new.payment_id);
  if tg_op = 'UPDATE' then
    if (new.payment_id, new.amount_cents, new.currency) is distinct from (old.payment_id, old.amount_cents, old.currency) then
      perform private.fail(409, 'refund_fixed', 'A refund keeps its payment and its amount.');
    end if;
    if new.status <> old.status and not (
         (old.status = 'pending') or (old.status = 'processing' and new.status in ('succeeded', 'failed'))
         -- Only a gateway can find out later that money did not arrive; what was handed over by hand was handed over.
         or (v_payment.provider <> 'manual' and ((old.status = 'succeeded' and new.status = 'failed')
           or (old.status = 'failed' and new.status = 'succeeded')))) then
      perform private.fail(409, 'illegal_transition', format('A refund does not go from %s to %s.', old.status, new.status));
    end if;
  end if;
  new.practice_id := v_payment.practice_id;
  new.currency := coalesce(new.currency, v_payment.currency);
  if v_payment.provider = 'manual' and nullif(btrim(new.reason), '') is null then
    perform private.fail(422, 'reason_needed', 'Say how and why the money went back; no gateway has a record of it.');
  end if;
  if new.currency <> v_payment.currency then
    perform private.fail(422, 'currency_mismatch', format('The payment is in %s, the refund in %s.', v_payment.currency, new.currency));
  end if;
  if new.status <> 'failed' then
    if v_payment.status not in ('paid', 'refunded') then
      perform private.fail(409, 'payment_not_made', 'Only money that came in can go back.');
    end if;
    select coalesce(sum(r.amount_cents), 0) into v_others from public.payment_refunds r
      where r.payment_id = new.payment_id and r.id <> new.id and r.status <> 'failed';
    if v_others + new.amount_cents > v_payment.amount_cents then
      perform private.fail(409, 'refund_exceeds_payment', 'That is more than is left of the payment.',
        format('%s of %s can still be refunded.', v_payment.amount_cents - v_others, v_payment.amount_cents));
    end if;
  end if;
  if new.status in ('succeeded', 'failed') then
    if tg_op = 'INSERT' or new.status <> old.status then new.processed_at := coalesce(new.processed_at, now()); end if;
    new.outcome_unknown_since := null;
    new.next_check_at := null;
  end if;
  return new;
end $$;
comment on function private.keep_refund() is
  'security definer: locks the payment, then holds the sum of refunds within it, whoever writes; fills practice and currency.';
revoke execute on function private.keep_refund() from public, anon, authenticated, service_role;

create or replace function private.refund_moves_payment() returns trigger
  language plpgsql security definer set search_path = '' as $$
begin
  perform private.settle_refunds(new.payment_id);
  return null;
end $$;
comment on function private.refund_moves_payment() is 'security definer: payment, allocations, invoices and seats follow the refunds.';
revoke execute on function private.refund_moves_payment() from public, anon, authenticated, service_role;

create or replace function private.settle_refunds(p_payment_id uuid) returns void
  language plpgsql security definer set search_path = '' as $$
declare
  v_payment public.payments := private.lock_money_of(p_payment_id);
  v_reserved bigint;
  v_refunded bigint;
  v_left bigint;
  v_part bigint;
  v_row record;
begin
  select coalesce(sum(r.amount_cents) filter (where r.status <> 'failed'), 0),
         coalesce(sum(r.amount_cents) filter (where r.status = 'succeeded'), 0)
    into v_reserved, v_refunded from public.payment_refunds r where r.payment_id = p_payment_id;
  -- A refund that failed after all gives the payment its money back before invoices take it.
  if v_refunded < v_payment.refunded_cents then
    perform private.set_refunded(p_payment_id, v_refunded, v_reserved);
  end if;
  -- What goes back comes first out of what no invoice has, then out of invoices, the last paid first. Worked out anew each
  -- time, so the result depends on the refunds alone and not on the order in which they were heard of.
  v_left := v_refunded - (v_payment.amount_cents - (select coalesce(sum(a.amount_cents::bigint + a.refunded_cents), 0)
    from public.payment_allocations a where a.payment_id = p_payment_id));
  for v_row in select a.id, a.amount_cents + a.refunded_cents as gross, a.refunded_cents from public.payment_allocations a
               where a.payment_id = p_payment_id order by a.created_at desc, a.id desc loop
    v_part := least(greatest(v_left, 0), v_row.gross);
    v_left := v_left - v_part;
    if v_part <> v_row.refunded_cents then
      update public.payment_allocations set amount_cents = v_row.gross - v_part, refunded_cents = v_part where id = v_row.id;
    end if;
  end loop;
  perform private.set_refunded(p_payment_id, v_refunded, v_reserved);
end $$;
comment on function private.settle_refunds(uuid) is
  'security definer: derives from the refunds what a payment still holds and what its invoices have of it. Idempotent.';
revoke execute on function private.settle_refunds(uuid) from public, anon, authenticated, service_role;

create or replace function private.set_refunded(p_payment_id uuid, p_refunded bigint, p_reserved bigint) returns void
  language sql security definer set search_path = '' as $$
  update public.payments p set refunded_cents = p_refunded, refund_reserved_cents = p_reserved,
    status = case when p_refunded = p.amount_cents then 'refunded'::public.payment_status
                  when p.status = 'refunded' then 'paid' else p.status end
  where p.id = p_payment_id and (p.refunded_cents, p.refund_reserved_cents) is distinct from (p_refunded::integer, p_reserved::integer)
$$;
comment on function private.set_refunded(uuid, bigint, bigint) is 'security definer: the only writer of what went back of a payment.';
revoke execute on function private.set_refunded(uuid, bigint, bigint) from public, anon, authenticated, service_role;

drop trigger if exists payment_refunds_keep on public.payment_refunds;
create trigger payment_refunds_keep before insert or update or delete on public.payment_refunds
  for each row execute function private.keep_refund();
drop trigger if exists payment_refunds_whole on public.payment_refunds;
create trigger payment_refunds_whole before truncate on public.payment_refunds
  for each statement execute function private.refuse_money_delete();
drop trigger if exists payment_refunds_settle on public.payment_refunds;
create trigger payment_refunds_settle after insert or update of status on public.payment_refunds
  for each row execute function private.refund_moves_payment();
