create or replace function public.bill_month(p_month date, p_finalize boolean default false, p_coach_client_ids uuid[] default null)
  returns table (coach_client_id uuid, currency text, items integer, invoice_id uuid, document_number text, total_cents bigint, error_code text)
  language plpgsql security definer set search_path = '' as $$
declare
  v_practice public.practices;
  v_from timestamptz;
  v_until timestamptz;
  v_group record;
  v_state text;
begin
  select p.* into v_practice from public.practices p join public.practice_members m on m.practice_id = p.id where m.user_id = private.me();
  if not found then perform private.fail(404, 'not_found', 'There is no such thing here.'); end if;
  v_from := date_trunc('month', p_month::timestamp) at time zone v_practice.timezone;
  v_until := (date_trunc('month', p_month::timestamp) + interval '1 month') at time zone v_practice.timezone;
  for v_group in
    select u.coach_client_id, u.currency, count(*)::integer as items, bool_or(u.amount_cents is null) as unpriced,
      jsonb_agg(case when u.outcome_id is null then jsonb_build_object('attendee_id', u.attendee_id)
        else jsonb_build_object('outcome_id', u.outcome_id) end order by u.arose_at, u.attendee_id) as lines
    from private.unbilled(private.me(), v_from, v_until) u
    where p_coach_client_ids is null or u.coach_client_id = any (p_coach_client_ids)
    -- Seats without a price are told apart, so that they hold up nobody's invoice.
    group by u.coach_client_id, u.currency, u.amount_cents is null
    order by u.coach_client_id, u.currency, u.amount_cents is null
  loop
    coach_client_id := v_group.coach_client_id;
    currency := v_group.currency;
    items := v_group.items;
    invoice_id := null;
    document_number := null;
    total_cents := null;
    error_code := case when v_group.unpriced then 'seat_without_price' when v_group.coach_client_id is null then 'seat_without_client' end;
    if error_code is null then
      -- All of a client's invoice or nothing of it; the others are not touched by what is wrong with one.
      begin
        invoice_id := public.draft_invoice(p_coach_client_id => v_group.coach_client_id, p_lines => v_group.lines, p_currency => v_group.currency);
        if p_finalize then document_number := public.finalize_invoice(invoice_id); end if;
        set constraints all immediate;
        set constraints all deferred;
        total_cents := (select i.total_amount_cents from public.invoices i where i.id = bill_month.invoice_id);
      exception when others then
        get stacked diagnostics v_state = returned_sqlstate, error_code = constraint_name;
        if v_state !~ '^(PT4|23)' then raise; end if;
        invoice_id := null;
        document_number := null;
      end;
    end if;
    return next;
  end loop;
end $$;
comment on function public.bill_month(date, boolean, uuid[]) is
  'security definer: a coach bills everything unbilled of a month of her practice''s zone, one invoice for each client and currency, as drafts or issued at once. Atomic per client: a row says what came of each, with error_code where nothing did.';
revoke execute on function public.bill_month(date, boolean, uuid[]) from public, anon, authenticated, service_role;
grant execute on function public.bill_month(date, boolean, uuid[]) to authenticated;
