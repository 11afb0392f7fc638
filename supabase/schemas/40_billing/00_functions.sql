-- What several tables of billing share.

create or replace function private.refuse_money_delete() returns trigger
  language plpgsql set search_path = '' as $$
begin
  perform private.fail(409, 'money_is_kept', format('Rows of %s are never deleted.', tg_table_name),
    'Cancel, void or refund instead; what happened stays on record.');
  return null;
end $$;
comment on function private.refuse_money_delete() is
  'Trigger: money is never deleted, although foreign keys of the review say cascade.';
revoke execute on function private.refuse_money_delete() from public, anon, authenticated, service_role;

create or replace function private.document_prefix(p_kind text) returns text
  language sql immutable set search_path = '' as $$
  select case p_kind
    when 'invoice' then 'INV' when 'tax_invoice' then 'TAX' when 'receipt' then 'RCP'
    when 'tax_invoice_receipt' then 'TIR' when 'credit_note' then 'CRN' end
$$;
comment on function private.document_prefix(text) is 'Letters before the number of a document of this kind.';
revoke execute on function private.document_prefix(text) from public, anon, authenticated, service_role;

create or replace function private.check_backoff(p_attempts integer) returns interval
  language sql immutable set search_path = '' as $$
  select (array['15 seconds', '1 minute', '5 minutes', '30 minutes', '2 hours', '6 hours']::interval[])
    [least(greatest(p_attempts, 0), 5) + 1]
$$;
comment on function private.check_backoff(integer) is
  'How long to wait before the gateway is asked again about an unknown outcome. Six checks fit in a day, the life of an idempotency key.';
revoke execute on function private.check_backoff(integer) from public, anon, authenticated, service_role;

create or replace function private.intent_rank(p_status public.payment_intent_status) returns integer
  language sql immutable set search_path = '' as $$
  select case p_status when 'requires_payment_method' then 1 when 'requires_confirmation' then 2
    when 'processing' then 3 when 'canceled' then 4 else 5 end
$$;
comment on function private.intent_rank(public.payment_intent_status) is
  'Order of the states of an intent: news of a lower rank needs proof, since events come late and out of order.';
revoke execute on function private.intent_rank(public.payment_intent_status) from public, anon, authenticated, service_role;

create or replace function private.refund_rank(p_status public.refund_status) returns integer
  language sql immutable set search_path = '' as $$
  select case p_status when 'pending' then 1 when 'processing' then 2 when 'succeeded' then 3 else 4 end
$$;
comment on function private.refund_rank(public.refund_status) is
  'Order of the states of a refund. A refund may fail after it succeeded, never the other way, so failed ranks highest.';
revoke execute on function private.refund_rank(public.refund_status) from public, anon, authenticated, service_role;
