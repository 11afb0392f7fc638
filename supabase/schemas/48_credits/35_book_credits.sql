-- What credits mean for the books: what was sold and not used yet is owed to the client, not earned.

create or replace function private.books_of_credit(p_credit_id uuid) returns jsonb
  language sql stable security definer set search_path = '' as $$
  select case when i.finalized_at is null or i.status = 'canceled' then '{}' else
    (select jsonb_build_object('revenue', v.open, 'credits', -v.open) from (
      -- Until it is granted all of it is open. More than was sold is a gift.
      select round(n.net::numeric * case when k.granted_on is null then k.sessions else least(k.balance, k.sessions) end / k.sessions)::bigint) v (open)) end
  from public.credits k
  join public.invoice_line_items l on l.id = k.invoice_line_id
  join public.invoices i on i.id = l.invoice_id
  -- Its share of the discount of the document is not earned either.
  cross join lateral (select round(l.line_total_cents::numeric * (s.lines - i.discount_cents) / greatest(s.lines, 1))::bigint
    from (select sum(x.line_total_cents) as lines from public.invoice_line_items x where x.invoice_id = i.id) s) t (total)
  cross join lateral (select t.total - case when i.tax_inclusive then private.tax_in(t.total, i.tax_rate_bp, true) else 0 end) n (net)
  where k.id = p_credit_id
$$;
comment on function private.books_of_credit(uuid) is
  'security definer: what sold credits mean for the books, by account, as they stand now; null for gifts.';
revoke execute on function private.books_of_credit(uuid) from public, anon, authenticated, service_role;

create or replace function private.book_credit(p_credit_id uuid) returns void
  language plpgsql security definer set search_path = '' as $$
declare
  v_should constant jsonb := private.books_of_credit(p_credit_id);
  v_missing jsonb;
begin
  if v_should is null then return; end if;
  v_missing := private.unposted('credit', p_credit_id, v_should);
  perform private.post(k.practice_id, l.currency, 'credit', k.id, v_missing,
    case when (v_missing ->> 'credits')::bigint < 0 then 'credits_owed' else 'credits_used' end, k.coach_client_id, k.title)
  from public.credits k join public.invoice_line_items l on l.id = k.invoice_line_id where k.id = p_credit_id;
end $$;
comment on function private.book_credit(uuid) is
  'security definer: the journal says of credits what the credits say. Idempotent.';
revoke execute on function private.book_credit(uuid) from public, anon, authenticated, service_role;
