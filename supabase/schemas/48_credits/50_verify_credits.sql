-- Whether credits, their ledger, the seats they paid and the books agree. A part of private.verify_billing.

create or replace function private.verify_credits(p_practice_ids uuid[])
  returns table (practice_id uuid, check_name text, subject text, subject_id text, expected text, found text)
  language sql stable security definer set search_path = '' as $$
  select k.practice_id, 'balance_of_credits', 'credit', k.id::text, e.amount::text, k.balance::text
  from public.credits k cross join lateral (select coalesce(sum(x.change), 0) as amount from public.credit_entries x where x.credit_id = k.id) e
  where k.practice_id = any (p_practice_ids) and k.balance <> e.amount
  union all
  select k.practice_id, 'credit_in_journal', 'credit', k.id::text, private.books_of_credit(k.id)::text, 'missing ' || u.missing::text
  from public.credits k cross join lateral private.unposted('credit', k.id, coalesce(private.books_of_credit(k.id), '{}')) u (missing)
  where k.practice_id = any (p_practice_ids) and u.missing <> '{}'
  union all
  select s.practice_id, 'seat_paid_by_credit', 'seat', a.id::text, 'paid', a.billing_status::text
  from (select x.practice_id, x.attendee_id from public.credit_entries x
        where x.practice_id = any (p_practice_ids) group by 1, 2 having sum(x.change) < 0) s
  join public.session_attendees a on a.id = s.attendee_id
  where a.billing_status <> 'paid'
$$;
comment on function private.verify_credits(uuid[]) is
  'security definer: reads all of the practices given. Where balances do not agree with the ledger, the journal with the credits, or seats with what was spent on them.';
revoke execute on function private.verify_credits(uuid[]) from public, anon, authenticated, service_role;
