-- Lines of invoices. amount_cents is the price of one; the total of a line is generated in bigint.
create table if not exists public.invoice_line_items (
  id uuid primary key default gen_random_uuid(),
  invoice_id uuid not null references public.invoices (id) on delete cascade,
  session_id uuid references public.sessions (id) on delete set null,
  description text not null,
  quantity integer not null default 1 check (quantity > 0),
  amount_cents integer not null check (amount_cents >= 0),
  metadata jsonb not null default '{}'::jsonb,
  created_at timestamptz not null default now(),
  updated_at timestamptz not null default now(),
  practice_id uuid not null references public.practices (id) on delete restrict,
  attendee_id uuid references public.session_attendees (id) on delete restrict,
  currency text not null,
  discount_cents integer not null default 0,
  line_total_cents bigint generated always as (quantity::bigint * amount_cents - discount_cents) stored,
  position integer not null,
  released_at timestamptz,
  settled_invoice_id uuid references public.invoices (id) on delete restrict,
  settled_tax_cents bigint not null default 0,
  outcome_id uuid references public.seat_outcomes (id) on delete restrict,
  constraint invoice_line_items_discount_within check (discount_cents >= 0 and discount_cents <= quantity::bigint * amount_cents),
  constraint invoice_line_items_description_length check (char_length(description) between 1 and 500),
  constraint invoice_line_items_metadata_object check (jsonb_typeof(metadata) = 'object')
);
comment on table public.invoice_line_items is 'Lines of an invoice: a seat at a session, or anything else.';
comment on column public.invoice_line_items.amount_cents is 'Price of one, in minor units of the invoice''s currency.';
comment on column public.invoice_line_items.line_total_cents is 'quantity times price less discount, in bigint.';
comment on column public.invoice_line_items.attendee_id is 'The seat that this line bills. A seat is on at most one line that is not released.';
comment on column public.invoice_line_items.released_at is 'Set when the invoice was voided: the seat may be billed again.';
comment on column public.invoice_line_items.outcome_id is
  'The seat given up, moved late or missed whose fee this line bills. On at most one line that is not released.';
comment on column public.invoice_line_items.settled_invoice_id is 'On a receipt: the invoice that this part of the payment went to.';
comment on column public.invoice_line_items.settled_tax_cents is 'On a receipt: how much of that invoice''s tax fell due with it.';

create unique index if not exists invoice_line_items_seat_once
  on public.invoice_line_items (attendee_id) where attendee_id is not null and released_at is null;
create index if not exists invoice_line_items_invoice_idx on public.invoice_line_items (invoice_id, position, id);
create index if not exists invoice_line_items_session_idx on public.invoice_line_items (session_id);
create index if not exists invoice_line_items_attendee_idx on public.invoice_line_items (attendee_id);
create unique index if not exists invoice_line_items_fee_once
  on public.invoice_line_items (outcome_id) where outcome_id is not null and released_at is null;
create index if not exists invoice_line_items_outcome_idx on public.invoice_line_items (outcome_id);
create index if not exists invoice_line_items_settled_idx on public.invoice_line_items (settled_invoice_id);
create index if not exists invoice_line_items_practice_idx on public.invoice_line_items (practice_id);

revoke all on public.invoice_line_items from public, anon, authenticated, service_role;
grant select, insert, update, delete on public.invoice_line_items to service_role;
grant select on public.invoice_line_items to authenticated;

alter table public.invoice_line_items enable row level security;
drop policy if exists invoice_line_items_select_payer on public.invoice_line_items;
create policy invoice_line_items_select_payer on public.invoice_line_items for select to authenticated
  using (invoice_id = any ((select private.my_invoice_ids())::uuid[]));
comment on policy invoice_line_items_select_payer on public.invoice_line_items is 'A client sees the lines of what was issued to the client.';
drop policy if exists invoice_line_items_select_practice on public.invoice_line_items;
create policy invoice_line_items_select_practice on public.invoice_line_items for select to authenticated
  using (practice_id = any ((select private.my_practice_ids())::uuid[]));
comment on policy invoice_line_items_select_practice on public.invoice_line_items is 'The people of the issuing practice see its lines.';
drop policy if exists invoice_line_items_select_admin on public.invoice_line_items;
create policy invoice_line_items_select_admin on public.invoice_line_items for select to authenticated
  using ((select private.i_am_admin()));
comment on policy invoice_line_items_select_admin on public.invoice_line_items is 'An admin sees every line.';

create or replace function private.tax_in(p_amount_cents bigint, p_tax_rate_bp integer, p_inclusive boolean) returns bigint
  language sql immutable set search_path = '' as $$
  -- Numeric, so exact; half away from zero.
  select round(p_amount_cents::numeric * p_tax_rate_bp / case when p_inclusive then 10000 + p_tax_rate_bp else 10000 end)::bigint
$$;
comment on function private.tax_in(bigint, integer, boolean) is 'The tax within an amount, or on top of it, rounded once.';
revoke execute on function private.tax_in(bigint, integer, boolean) from public, anon, authenticated, service_role;

create or replace function private.invoice_sums(p_invoice_id uuid, p_tax_rate_bp integer, p_inclusive boolean,
  out subtotal bigint, out tax bigint, out gross bigint)
  language sql stable set search_path = '' as $$
  select s.lines - case when p_inclusive then t.tax else 0 end, t.tax, s.lines + case when p_inclusive then 0 else t.tax end
  from (select coalesce(sum(l.line_total_cents), 0)::bigint - coalesce((select i.discount_cents from public.invoices i where i.id = p_invoice_id), 0) as lines
    from public.invoice_line_items l where l.invoice_id = p_invoice_id) s,
    private.tax_in(s.lines, p_tax_rate_bp, p_inclusive) t (tax)
$$;
comment on function private.invoice_sums(uuid, integer, boolean) is
  'Net, tax and gross of all lines less the discount of the document; the tax is rounded once per document and the parts make up the whole.';
revoke execute on function private.invoice_sums(uuid, integer, boolean) from public, anon, authenticated, service_role;

create or replace function private.keep_invoice_line() returns trigger
  language plpgsql security definer set search_path = '' as $$
declare
  -- The generated total is not known yet before the row is written; it follows from the rest.
  v_movable constant text[] := array['released_at', 'updated_at', 'line_total_cents'];
  v_invoice public.invoices;
begin
  if tg_op = 'UPDATE' and new.invoice_id <> old.invoice_id then
    perform private.fail(409, 'line_stays', 'A line stays on its invoice.');
  end if;
  -- The lock keeps a line from slipping in while the invoice is being finalised.
  select * into v_invoice from public.invoices i
    where i.id = case when tg_op = 'DELETE' then old.invoice_id else new.invoice_id end for no key update;
  if not found then return case when tg_op = 'DELETE' then old else new end; end if;
  if v_invoice.finalized_at is not null and not (v_invoice.issued_elsewhere and tg_op = 'INSERT') then
    -- Of a line that comes or goes one of the two is null, so they differ.
    if (to_jsonb(new) - v_movable) is distinct from (to_jsonb(old) - v_movable) then
      perform private.fail(409, 'invoice_final', 'The lines of a finalised invoice never change.', 'Void it and make another.');
    end if;
    return new;
  end if;
  if tg_op = 'DELETE' then return old; end if;
  new.practice_id := v_invoice.practice_id;
  new.currency := coalesce(new.currency, v_invoice.currency);
  if new.currency <> v_invoice.currency then
    perform private.fail(422, 'currency_mismatch', format('The invoice is in %s, the line in %s.', v_invoice.currency, new.currency));
  end if;
  -- A fee names its session but is no seat.
  if new.attendee_id is null and new.outcome_id is null and tg_op = 'INSERT' then
    new.attendee_id := private.seat_for_line(v_invoice, new.session_id);
  elsif new.attendee_id is not null then
    new.session_id := (select a.session_id from public.session_attendees a where a.id = new.attendee_id);
  end if;
  if new.position is null then
    new.position := (select coalesce(max(l.position), 0) + 1 from public.invoice_line_items l where l.invoice_id = new.invoice_id);
  end if;
  return new;
end $$;
comment on function private.keep_invoice_line() is
  'security definer: fills practice, currency, seat and position, holds lines to the invoice''s currency, and refuses changes of final documents.';
revoke execute on function private.keep_invoice_line() from public, anon, authenticated, service_role;

create or replace function private.seat_for_line(p_invoice public.invoices, p_session_id uuid) returns uuid
  language sql stable security definer set search_path = '' as $$
  select min(a.id::text)::uuid from public.session_attendees a
  where a.session_id = p_session_id and a.role <> 'coach'
    and (a.user_id = p_invoice.user_id or a.coach_client_id = p_invoice.coach_client_id)
    and not exists (select from public.invoice_line_items l where l.attendee_id = a.id and l.released_at is null)
  having count(*) = 1
$$;
comment on function private.seat_for_line(public.invoices, uuid) is
  'security definer: the seat that a line with only the review''s session_id bills, if it is plain which.';
revoke execute on function private.seat_for_line(public.invoices, uuid) from public, anon, authenticated, service_role;

create or replace function private.recompute_draft_on_line() returns trigger
  language plpgsql security definer set search_path = '' as $$
begin
  perform private.recompute_draft(case when tg_op = 'DELETE' then old.invoice_id else new.invoice_id end);
  return null;
end $$;
comment on function private.recompute_draft_on_line() is 'security definer: totals of a draft follow its lines.';
revoke execute on function private.recompute_draft_on_line() from public, anon, authenticated, service_role;

drop trigger if exists invoice_line_items_keep on public.invoice_line_items;
create trigger invoice_line_items_keep before insert or update or delete on public.invoice_line_items
  for each row execute function private.keep_invoice_line();
drop trigger if exists invoice_line_items_whole on public.invoice_line_items;
create trigger invoice_line_items_whole before truncate on public.invoice_line_items
  for each statement execute function private.refuse_money_delete();
drop trigger if exists invoice_line_items_recompute on public.invoice_line_items;
create trigger invoice_line_items_recompute after insert or update or delete on public.invoice_line_items
  for each row execute function private.recompute_draft_on_line();
drop trigger if exists invoice_line_items_totals on public.invoice_line_items;
create constraint trigger invoice_line_items_totals after insert or update on public.invoice_line_items deferrable initially deferred
  for each row execute function private.check_invoice_totals('invoice_id');
drop trigger if exists invoice_line_items_touch on public.invoice_line_items;
create trigger invoice_line_items_touch before update on public.invoice_line_items
  for each row execute function private.touch_updated_at();
