-- Which invoice a payment pays, and how much of it. amount_cents is what is there now, refunded_cents what went back.
create table if not exists public.payment_allocations (
  id uuid primary key default gen_random_uuid(),
  payment_id uuid not null references public.payments (id) on delete restrict,
  invoice_id uuid not null references public.invoices (id) on delete restrict,
  amount_cents integer not null,
  refunded_cents integer not null default 0,
  currency text not null,
  practice_id uuid not null references public.practices (id) on delete restrict,
  created_at timestamptz not null default now(),
  updated_at timestamptz not null default now(),
  constraint payment_allocations_pair_key unique (payment_id, invoice_id),
  constraint payment_allocations_not_negative check (amount_cents >= 0 and refunded_cents >= 0)
);
comment on table public.payment_allocations is
  'Parts of payments given to invoices. Their sum never exceeds the payment less its refunds, nor the invoice; kept under row locks.';
comment on column public.payment_allocations.amount_cents is 'Net: falls when the payment is refunded, by what moves to refunded_cents, and when it is taken back; the journal says when.';
create index if not exists payment_allocations_invoice_idx on public.payment_allocations (invoice_id);
create index if not exists payment_allocations_practice_idx on public.payment_allocations (practice_id);

revoke all on public.payment_allocations from public, anon, authenticated, service_role;
grant select, insert, update on public.payment_allocations to service_role;
grant select on public.payment_allocations to authenticated;

alter table public.payment_allocations enable row level security;
drop policy if exists payment_allocations_select_payer on public.payment_allocations;
create policy payment_allocations_select_payer on public.payment_allocations for select to authenticated
  using (invoice_id = any ((select private.my_invoice_ids())::uuid[]));
comment on policy payment_allocations_select_payer on public.payment_allocations is 'A client sees how the client''s invoices were paid.';
drop policy if exists payment_allocations_select_practice on public.payment_allocations;
create policy payment_allocations_select_practice on public.payment_allocations for select to authenticated
  using (practice_id = any ((select private.my_practice_ids())::uuid[]));
comment on policy payment_allocations_select_practice on public.payment_allocations is 'The people of a practice see how its invoices were paid.';
drop policy if exists payment_allocations_select_admin on public.payment_allocations;
create policy payment_allocations_select_admin on public.payment_allocations for select to authenticated
  using ((select private.i_am_admin()));
comment on policy payment_allocations_select_admin on public.payment_allocations is 'An admin sees every allocation.';

create or replace function private.keep_allocation() returns trigger
  language plpgsql security definer set search_path = '' as $$
declare
  v_invoice public.invoices;
  v_payment public.payments;
  v_others bigint;
begin
  if tg_op = 'UPDATE' and (new.payment_id, new.invoice_id) <> (old.payment_id, old.invoice_id) then
    perform private.fail(409, 'allocation_stays', 'An allocation keeps its payment and its invoice.');
  end if;
  -- Always the invoice first, then the payment: whoever moves money takes the locks in this order.
  select * into v_invoice from public.invoices i where i.id = new.invoice_id for no key update;
  select * into v_payment from public.payments p where p.id = new.payment_id for no key update;
  new.practice_id := v_invoice.practice_id;
  new.currency := coalesce(new.currency, v_invoice.currency);
  if new.currency <> v_invoice.currency or new.currency <> v_payment.currency then
    perform private.fail(422, 'currency_mismatch', format('The payment is in %s, the invoice in %s.', v_payment.currency, v_invoice.currency));
  end if;
  if v_payment.practice_id is distinct from v_invoice.practice_id then
    perform private.fail(409, 'other_practice', 'The payment was made to another practice than the one that issued the invoice.');
  end if;
  if v_invoice.finalized_at is null or v_invoice.document_kind not in ('invoice', 'tax_invoice')
     or (v_invoice.status = 'canceled' and new.amount_cents > 0) then
    perform private.fail(409, 'invoice_not_open', 'Only an issued invoice that is not void takes money.');
  end if;
  if v_payment.status not in ('paid', 'refunded') then
    perform private.fail(409, 'payment_not_made', 'Only money that came in can pay an invoice.');
  end if;
  if v_payment.coach_client_id <> v_invoice.coach_client_id then
    perform private.fail(409, 'other_client', 'The payment is one client''s, the invoice another''s.');
  end if;
  if tg_op = 'INSERT' and new.amount_cents::bigint + new.refunded_cents = 0 then
    perform private.fail(422, 'amount_out_of_range', 'The amount must be larger than 0.');
  end if;
  select coalesce(sum(a.amount_cents), 0) into v_others from public.payment_allocations a
    where a.payment_id = new.payment_id and a.id <> new.id;
  if v_others + new.amount_cents > v_payment.amount_cents - v_payment.refunded_cents then
    perform private.fail(409, 'allocation_exceeds_payment', 'More would be given out than the payment holds.');
  end if;
  select coalesce(sum(a.amount_cents::bigint + a.refunded_cents), 0) into v_others from public.payment_allocations a
    where a.invoice_id = new.invoice_id and a.id <> new.id;
  -- What falls is always right: a refund that fails after all gives back before the invoice can be put in order.
  if (tg_op = 'INSERT' or new.amount_cents::bigint + new.refunded_cents > old.amount_cents::bigint + old.refunded_cents)
     and v_others + new.amount_cents + new.refunded_cents
       > v_invoice.total_amount_cents - v_invoice.credited_cents + v_invoice.refund_covered_cents then
    perform private.fail(409, 'allocation_exceeds_invoice', 'The invoice would be paid more than once.');
  end if;
  return new;
end $$;
comment on function private.keep_allocation() is
  'security definer: locks invoice and payment, then holds the sums of allocations within both, whoever writes.';
revoke execute on function private.keep_allocation() from public, anon, authenticated, service_role;

create or replace function private.allocation_moves_invoice() returns trigger
  language plpgsql security definer set search_path = '' as $$
begin
  update public.payments p set allocated_cents =
    (select coalesce(sum(a.amount_cents), 0) from public.payment_allocations a where a.payment_id = p.id)
  where p.id = new.payment_id;
  perform private.settle_invoice(new.invoice_id);
  return null;
end $$;
comment on function private.allocation_moves_invoice() is 'security definer: payment, invoice and its seats follow what was allocated.';
revoke execute on function private.allocation_moves_invoice() from public, anon, authenticated, service_role;

drop trigger if exists payment_allocations_keep on public.payment_allocations;
create trigger payment_allocations_keep before insert or update on public.payment_allocations
  for each row execute function private.keep_allocation();
drop trigger if exists payment_allocations_kept on public.payment_allocations;
create trigger payment_allocations_kept before delete on public.payment_allocations
  for each row execute function private.refuse_money_delete();
drop trigger if exists payment_allocations_whole on public.payment_allocations;
create trigger payment_allocations_whole before truncate on public.payment_allocations
  for each statement execute function private.refuse_money_delete();
drop trigger if exists payment_allocations_settle on public.payment_allocations;
create trigger payment_allocations_settle after insert or update on public.payment_allocations
  for each row execute function private.allocation_moves_invoice();
drop trigger if exists payment_allocations_touch on public.payment_allocations;
create trigger payment_allocations_touch before update on public.payment_allocations
  for each row execute function private.touch_updated_at();
