-- What a payment was for, as it was at that time.
create table if not exists public.payment_line_items (
  id uuid primary key default gen_random_uuid(),
  payment_id uuid not null references public.payments (id) on delete cascade,
  description text not null,
  quantity integer not null default 1 check (quantity > 0),
  amount_cents integer not null check (amount_cents >= 0),
  session_id uuid references public.sessions (id) on delete set null,
  metadata jsonb not null default '{}'::jsonb,
  created_at timestamptz not null default now(),
  updated_at timestamptz not null default now(),
  practice_id uuid references public.practices (id) on delete restrict,
  currency text not null,
  line_total_cents bigint generated always as (quantity::bigint * amount_cents) stored,
  constraint payment_line_items_metadata_object check (jsonb_typeof(metadata) = 'object')
);
comment on table public.payment_line_items is 'What a payment was for. amount_cents is the price of one.';
create index if not exists payment_line_items_payment_idx on public.payment_line_items (payment_id);
create index if not exists payment_line_items_session_idx on public.payment_line_items (session_id);
create index if not exists payment_line_items_practice_idx on public.payment_line_items (practice_id);

revoke all on public.payment_line_items from public, anon, authenticated, service_role;
grant select, insert, update on public.payment_line_items to service_role;
grant select on public.payment_line_items to authenticated;

alter table public.payment_line_items enable row level security;
drop policy if exists payment_line_items_select_payer on public.payment_line_items;
create policy payment_line_items_select_payer on public.payment_line_items for select to authenticated
  using (payment_id = any ((select private.my_payment_ids())::uuid[]));
comment on policy payment_line_items_select_payer on public.payment_line_items is 'A client sees what the client''s payments were for.';
drop policy if exists payment_line_items_select_practice on public.payment_line_items;
create policy payment_line_items_select_practice on public.payment_line_items for select to authenticated
  using (practice_id = any ((select private.my_practice_ids())::uuid[]));
comment on policy payment_line_items_select_practice on public.payment_line_items is 'The people of a practice see what they were paid for.';
drop policy if exists payment_line_items_select_admin on public.payment_line_items;
create policy payment_line_items_select_admin on public.payment_line_items for select to authenticated
  using ((select private.i_am_admin()));
comment on policy payment_line_items_select_admin on public.payment_line_items is 'An admin sees every line.';

create or replace function private.fill_payment_line() returns trigger
  language plpgsql security definer set search_path = '' as $$
declare
  v_payment record;
begin
  select p.practice_id, p.currency into v_payment from public.payments p where p.id = new.payment_id;
  new.practice_id := v_payment.practice_id;
  new.currency := coalesce(new.currency, v_payment.currency);
  if new.currency <> v_payment.currency then
    perform private.fail(422, 'currency_mismatch', format('The payment is in %s, the line in %s.', v_payment.currency, new.currency));
  end if;
  return new;
end $$;
comment on function private.fill_payment_line() is 'security definer: practice and currency of a line are those of its payment.';
revoke execute on function private.fill_payment_line() from public, anon, authenticated, service_role;
drop trigger if exists payment_line_items_fill on public.payment_line_items;
create trigger payment_line_items_fill before insert or update on public.payment_line_items
  for each row execute function private.fill_payment_line();
drop trigger if exists payment_line_items_keep on public.payment_line_items;
create trigger payment_line_items_keep before delete on public.payment_line_items
  for each row execute function private.refuse_money_delete();
drop trigger if exists payment_line_items_touch on public.payment_line_items;
create trigger payment_line_items_touch before update on public.payment_line_items
  for each row execute function private.touch_updated_at();
