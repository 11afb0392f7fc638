create or replace function private.invoices_tell()
returns trigger
language plpgsql
security definer
set search_path = ''
as $$
begin
  -- Imports tell nobody: only what people do is news.
  if private.acting_as_api() then
    perform private.tell(
      new.user_id, 'invoice_issued', '/invoices/' || new.id, jsonb_build_object('invoice_id', new.id),
      coalesce(private.called(new.coach_id), new.seller_name),
      concat_ws(', ', new.document_number, private.money_text(new.total_amount_cents, new.currency))
    );
  end if;
  return null;
end;
$$;
comment on function private.invoices_tell() is
  'security definer: nobody may insert notifications. Trigger: tells the buyer of an invoice that was issued.';
revoke execute on function private.invoices_tell() from public, anon, authenticated, service_role;

drop trigger if exists invoices_tell on public.invoices;
create trigger invoices_tell after update of finalized_at on public.invoices
for each row when (old.finalized_at is null and new.finalized_at is not null and not new.issued_elsewhere
  and new.document_kind in ('invoice', 'tax_invoice'))
execute function private.invoices_tell();

create or replace function private.payments_tell()
returns trigger
language plpgsql
security definer
set search_path = ''
as $$
declare
  its_invoice public.invoices%rowtype;
  about jsonb := jsonb_build_object('payment_id', new.id, 'invoice_id', new.invoice_id);
  amount text := private.money_text(new.amount_cents, new.currency);
begin
  select * into its_invoice from public.invoices as i where i.id = new.invoice_id;
  if new.intent_id is not null or tg_op = 'UPDATE' then
    perform private.tell(
      its_invoice.coach_id, 'payment_received', '/payments/' || new.id, about,
      coalesce(private.called(new.user_id), its_invoice.buyer_name), amount
    );
    perform private.tell(i.user_id, 'card_charged', '/payments/' || new.id, about, private.called(its_invoice.coach_id), amount)
    from public.payment_intents as i
    where i.id = new.intent_id and i.off_session;
  elsif private.acting_as_api() then
    -- What a coach records by hand is paid at once; imports tell nobody.
    perform private.tell(
      coalesce(new.user_id, its_invoice.user_id), 'payment_recorded', '/payments/' || new.id, about,
      private.called(new.recorded_by), amount
    );
  end if;
  return null;
end;
$$;
comment on function private.payments_tell() is
  'security definer: nobody may insert notifications. Trigger: tells the coach of money that came in, and the client of what the coach recorded and of a charge while the client was away.';
revoke execute on function private.payments_tell() from public, anon, authenticated, service_role;

drop trigger if exists payments_tell on public.payments;
create trigger payments_tell after update of status on public.payments
for each row when (old.status <> 'paid' and new.status = 'paid' and old.status <> 'refunded')
execute function private.payments_tell();
drop trigger if exists payments_tell_recorded on public.payments;
create trigger payments_tell_recorded after insert on public.payments
for each row when (new.status = 'paid' and (new.recorded_by is not null or new.intent_id is not null))
execute function private.payments_tell();

create or replace function private.payment_refunds_tell()
returns trigger
language plpgsql
security definer
set search_path = ''
as $$
begin
  perform private.tell(
    p.user_id, 'refund_made', '/payments/' || p.id,
    jsonb_build_object('payment_id', p.id, 'refund_id', new.id),
    coalesce(private.called(new.requested_by), (select r.name from public.practices as r where r.id = new.practice_id)),
    private.money_text(new.amount_cents, new.currency)
  )
  from public.payments as p
  where p.id = new.payment_id;
  return null;
end;
$$;
comment on function private.payment_refunds_tell() is
  'security definer: nobody may insert notifications. Trigger: tells the payer of money that went back.';
revoke execute on function private.payment_refunds_tell() from public, anon, authenticated, service_role;

drop trigger if exists payment_refunds_tell on public.payment_refunds;
create trigger payment_refunds_tell after update of status on public.payment_refunds
for each row when (old.status <> 'succeeded' and new.status = 'succeeded')
execute function private.payment_refunds_tell();
