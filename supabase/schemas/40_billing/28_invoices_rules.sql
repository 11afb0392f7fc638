-- Guards of documents: what is filled in, what may never change, and that totals equal lines.

create or replace function private.fill_invoice() returns trigger
  language plpgsql security definer set search_path = '' as $$
begin
  if new.practice_id is null then
    new.practice_id := (select m.practice_id from public.practice_members m where m.user_id = new.coach_id);
  end if;
  -- A paid or refunded row that was never finalised here is history from elsewhere: it keeps its own truth.
  if new.finalized_at is null and new.status in ('paid', 'refunded') then
    new.issued_elsewhere := true;
    new.is_history := true;
    new.finalized_at := new.issued_at;
    new.amount_paid_cents := case when new.status = 'paid' then new.total_amount_cents else 0 end;
    new.amount_refunded_cents := case when new.status = 'refunded' then new.total_amount_cents else 0 end;
    new.paid_at := coalesce(new.paid_at, new.issued_at);
  end if;
  if new.coach_client_id is null then
    new.coach_client_id := (select c.id from public.coach_clients c where c.coach_id = new.coach_id and c.client_id = new.user_id);
  end if;
  if new.status = 'canceled' then new.voided_at := coalesce(new.voided_at, now()); end if;
  if new.subtotal_cents = 0 and new.tax_rate_bp = 0 then new.subtotal_cents := new.total_amount_cents; end if;
  return new;
end $$;
comment on function private.fill_invoice() is
  'security definer: a plain insert of the review''s columns by the service reads the coach''s practice and clients.';
revoke execute on function private.fill_invoice() from public, anon, authenticated, service_role;
drop trigger if exists invoices_fill on public.invoices;
create trigger invoices_fill before insert on public.invoices for each row execute function private.fill_invoice();

create or replace function private.keep_invoice() returns trigger
  language plpgsql security definer set search_path = '' as $$
declare
  -- What may still move on a final document. user_id may be filled once, when the client signs up.
  v_movable text[] := array['status', 'paid_at', 'amount_paid_cents', 'amount_refunded_cents', 'voided_at', 'voided_by',
    'written_off_at', 'written_off_by', 'credited_cents', 'refund_covered_cents',
    'metadata', 'updated_at'];
begin
  if tg_op = 'DELETE' then
    if old.finalized_at is not null then
      perform private.fail(409, 'invoice_final', 'A finalised invoice is never deleted.', 'Void it, or refund its payment.');
    end if;
    return old;
  end if;
  if old.finalized_at is not null then
    if old.user_id is null then v_movable := v_movable || array['user_id']; end if;
    -- Given by others, and perhaps later than the document.
    if old.allocation_number is null then v_movable := v_movable || array['allocation_number']; end if;
    if old.document_number is null then v_movable := v_movable || array['document_number']; end if;
    if (to_jsonb(new) - v_movable) is distinct from (to_jsonb(old) - v_movable) then
      perform private.fail(409, 'invoice_final', 'A finalised document never changes.', 'Void it, or make a credit note for it.');
    end if;
    if old.status = 'canceled' and new.status <> 'canceled' then
      perform private.fail(409, 'invoice_voided', 'A void invoice stays void.');
    end if;
  else
    if new.currency <> old.currency and exists (select from public.invoice_line_items l where l.invoice_id = old.id) then
      perform private.fail(409, 'currency_mismatch', 'The lines are in another currency.', 'Remove the lines first.');
    end if;
    if new.practice_id <> old.practice_id then
      perform private.fail(409, 'issuer_fixed', 'An invoice keeps its issuer.');
    end if;
  end if;
  if new.number is not null and old.number is null and not exists (
       select from public.invoice_series s where s.practice_id = new.practice_id and s.document_kind = new.document_kind
         and s.year = new.series_year and s.last_number >= new.number) then
    perform private.fail(409, 'number_not_given', 'That number was not given by the series.');
  end if;
  return new;
end $$;
comment on function private.keep_invoice() is
  'security definer: checks lines and series whoever writes. Trigger: final documents are immutable and undeletable.';
revoke execute on function private.keep_invoice() from public, anon, authenticated, service_role;
drop trigger if exists invoices_keep on public.invoices;
create trigger invoices_keep before update or delete on public.invoices for each row execute function private.keep_invoice();
drop trigger if exists invoices_whole on public.invoices;
create trigger invoices_whole before truncate on public.invoices
  for each statement execute function private.refuse_money_delete();

create or replace function private.recompute_draft(p_invoice_id uuid) returns void
  language plpgsql security definer set search_path = '' as $$
declare
  v_invoice public.invoices;
  v_sums record;
begin
  select * into v_invoice from public.invoices i where i.id = p_invoice_id for no key update;
  if not found or v_invoice.finalized_at is not null then return; end if;
  select * into v_sums from private.invoice_sums(p_invoice_id, v_invoice.tax_rate_bp, v_invoice.tax_inclusive);
  if v_sums.gross < 0 then
    perform private.fail(422, 'discount_exceeds_lines', 'The discount of the invoice is larger than its lines.', 'Lower the discount first.');
  end if;
  if v_sums.subtotal + v_sums.tax > 2147483647 then
    perform private.fail(422, 'amount_out_of_range', 'The total is larger than an invoice can hold.', 'Split it into several.');
  end if;
  update public.invoices set subtotal_cents = v_sums.subtotal, tax_cents = v_sums.tax, total_amount_cents = v_sums.subtotal + v_sums.tax
  where id = p_invoice_id and (subtotal_cents, tax_cents, total_amount_cents::bigint)
    is distinct from (v_sums.subtotal, v_sums.tax, v_sums.subtotal + v_sums.tax);
end $$;
comment on function private.recompute_draft(uuid) is 'security definer: totals of a draft follow its lines whoever writes them.';
revoke execute on function private.recompute_draft(uuid) from public, anon, authenticated, service_role;

create or replace function private.recompute_draft_on_rate() returns trigger
  language plpgsql security definer set search_path = '' as $$
begin
  perform private.recompute_draft(new.id);
  return null;
end $$;
comment on function private.recompute_draft_on_rate() is 'security definer: a changed tax rate or discount changes the totals of a draft.';
revoke execute on function private.recompute_draft_on_rate() from public, anon, authenticated, service_role;
drop trigger if exists invoices_recompute on public.invoices;
create trigger invoices_recompute after update of tax_rate_bp, tax_inclusive, discount_cents on public.invoices
  for each row when ((old.tax_rate_bp, old.tax_inclusive, old.discount_cents) <> (new.tax_rate_bp, new.tax_inclusive, new.discount_cents)) execute function private.recompute_draft_on_rate();

create or replace function private.check_invoice_totals() returns trigger
  language plpgsql security definer set search_path = '' as $$
declare
  v_invoice public.invoices;
  v_sums record;
begin
  -- Deferred: what counts is the document as it stands at commit.
  select * into v_invoice from public.invoices i where i.id = (to_jsonb(new) ->> tg_argv[0])::uuid;
  if v_invoice.finalized_at is null then return null; end if;
  if not exists (select from public.invoice_line_items l where l.invoice_id = v_invoice.id) then
    if v_invoice.issued_elsewhere then return null; end if;
    perform private.fail(409, 'invoice_without_lines', 'A finalised invoice needs a line.');
  end if;
  select * into v_sums from private.invoice_sums(v_invoice.id, v_invoice.tax_rate_bp, v_invoice.tax_inclusive);
  -- Receipts and credit notes carry the tax of the documents that they are for, to the last unit.
  if v_invoice.document_kind not in ('invoice', 'tax_invoice') then
    v_sums.tax := v_invoice.tax_cents;
    v_sums.subtotal := v_sums.gross - v_invoice.tax_cents;
  end if;
  if (v_invoice.subtotal_cents, v_invoice.tax_cents, v_invoice.total_amount_cents::bigint)
     is distinct from (v_sums.subtotal, v_sums.tax, v_sums.subtotal + v_sums.tax) then
    perform private.fail(409, 'invoice_total_wrong', 'The total of a finalised invoice must equal its lines.');
  end if;
  if v_invoice.amount_paid_cents + v_invoice.amount_refunded_cents + v_invoice.credited_cents - v_invoice.refund_covered_cents
     > v_invoice.total_amount_cents then
    perform private.fail(409, 'allocation_exceeds_invoice', 'The invoice would be paid more than once.');
  end if;
  return null;
end $$;
comment on function private.check_invoice_totals() is
  'security definer: constraint trigger, checks at commit that a final document equals its lines, whoever wrote it.';
revoke execute on function private.check_invoice_totals() from public, anon, authenticated, service_role;
drop trigger if exists invoices_totals on public.invoices;
create constraint trigger invoices_totals after insert or update on public.invoices deferrable initially deferred
  for each row when (new.finalized_at is not null) execute function private.check_invoice_totals('id');

create or replace function private.tie_invoices_to_user() returns trigger
  language plpgsql security definer set search_path = '' as $$
begin
  update public.invoices set user_id = new.client_id where coach_client_id = new.id and user_id is null;
  return null;
end $$;
comment on function private.tie_invoices_to_user() is
  'security definer: when a client signs up, the invoices made for the client before become visible to the client.';
revoke execute on function private.tie_invoices_to_user() from public, anon, authenticated, service_role;
drop trigger if exists coach_clients_tie_invoices on public.coach_clients;
create trigger coach_clients_tie_invoices after update of client_id on public.coach_clients
  for each row when (old.client_id is null and new.client_id is not null) execute function private.tie_invoices_to_user();
