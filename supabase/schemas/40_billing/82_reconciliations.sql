-- Comparing the books with the gateway's own list, and what was found each time.
create table if not exists public.reconciliations (
  id uuid primary key default gen_random_uuid(),
  gateway_account_id uuid not null references public.gateway_accounts (id) on delete restrict,
  practice_id uuid not null references public.practices (id) on delete restrict,
  since timestamptz not null,
  until timestamptz not null,
  rows_there integer not null,
  rows_here integer not null,
  matched integer not null,
  findings jsonb not null,
  balances jsonb not null default '{}',
  verify_seconds_p50 double precision,
  verify_seconds_p99 double precision,
  created_at timestamptz not null default now(),
  constraint reconciliations_findings_list check (jsonb_typeof(findings) = 'array'),
  constraint reconciliations_balances_by_currency check (jsonb_typeof(balances) = 'object')
);
comment on table public.reconciliations is
  'One row for each comparison of an account with its gateway. Completeness is matched / rows_there.';
comment on column public.reconciliations.findings is
  'Differences: {kind, subject, id, provider_id, ours, theirs, at}; at is when it moved, there or else here. Kinds: missing_here, missing_there, amount, currency, status, duplicate, late, wrong_charge, balance (of the currency that is its subject).';
comment on column public.reconciliations.balances is
  'By currency {ours, theirs}: what the clearing account of the books holds, and what the gateway''s list makes it. The same where nothing is found.';
comment on column public.reconciliations.verify_seconds_p50 is 'How long after money moved it was found to stand in the books the same.';

create index if not exists reconciliations_practice_idx on public.reconciliations (practice_id, created_at desc, id desc);
create index if not exists reconciliations_account_idx on public.reconciliations (gateway_account_id, created_at desc);

revoke all on public.reconciliations from public, anon, authenticated, service_role;
grant select on public.reconciliations to authenticated, service_role;

alter table public.reconciliations enable row level security;
drop policy if exists reconciliations_select_practice on public.reconciliations;
create policy reconciliations_select_practice on public.reconciliations for select to authenticated
  using (practice_id = any ((select private.my_practice_ids())::uuid[]));
comment on policy reconciliations_select_practice on public.reconciliations is 'The people of a practice see how its books compare with the gateway.';
drop policy if exists reconciliations_select_admin on public.reconciliations;
create policy reconciliations_select_admin on public.reconciliations for select to authenticated
  using ((select private.i_am_admin()));
comment on policy reconciliations_select_admin on public.reconciliations is 'An admin sees every reconciliation.';

drop trigger if exists reconciliations_kept on public.reconciliations;
create trigger reconciliations_kept before delete on public.reconciliations
  for each row execute function private.refuse_money_delete();

create or replace function private.booked_movements(p_account_id uuid)
  returns table (kind text, id uuid, provider_id text, amount_cents bigint, currency text, status text, booked_at timestamptz, charge_id text)
  language sql stable set search_path = '' as $$
  select 'charge', p.id, p.provider_transaction_id, p.amount_cents::bigint, p.currency,
    case p.status when 'refunded' then 'paid' else p.status::text end, coalesce(p.paid_at, p.updated_at), null::text
  from public.payments p where p.gateway_account_id = p_account_id and p.provider_transaction_id is not null
  union all
  select 'refund', r.id, r.provider_refund_id, r.amount_cents, r.currency, r.status::text, coalesce(r.processed_at, r.updated_at),
    p.provider_transaction_id
  from public.payment_refunds r join public.payments p on p.id = r.payment_id
  where p.gateway_account_id = p_account_id and r.provider_refund_id is not null
$$;
comment on function private.booked_movements(uuid) is
  'Charges and refunds of an account in the books that the gateway has a name for.';
revoke execute on function private.booked_movements(uuid) from public, anon, authenticated, service_role;

create or replace function private.gateway_differences(p_account_id uuid, p_since timestamptz, p_until timestamptz, p_rows jsonb,
  p_late interval) returns table (subject text, ours_id uuid, provider_id text, found text, ours text, theirs text, moved_at timestamptz, moved boolean)
  language sql stable security definer set search_path = '' as $$
  with listed as materialized (
    select r.*, row_number() over (partition by r.kind, r.provider_id order by r.at) as copy
    from jsonb_to_recordset(p_rows) as r (kind text, provider_id text, amount_cents bigint, currency text, status text, at timestamptz,
      charge_id text)
  ), pairs as (
    select coalesce(t.kind, h.kind) as kind, coalesce(t.provider_id, h.provider_id) as provider_id, h.id as ours_id, t.at as moved_at,
      t.amount_cents as their_amount, h.amount_cents as our_amount, t.currency as their_currency, h.currency as our_currency,
      t.status as their_status, h.status as our_status, t.charge_id as their_charge, h.charge_id as our_charge,
      h.booked_at, coalesce(t.copy, 1) as copy, t.provider_id is not null as there, h.id is not null as here
    from listed t full join private.booked_movements(p_account_id) h on h.kind = t.kind and h.provider_id = t.provider_id
  )
  select p.kind, p.ours_id, p.provider_id, d.found, d.ours, d.theirs, coalesce(p.moved_at, p.booked_at),
    coalesce(p.their_status in ('paid', 'succeeded'), false) or coalesce(p.our_status in ('paid', 'succeeded'), false)
  from pairs p
  -- The first that applies names the difference; those after it would be its shadows.
  cross join lateral (select * from (values
    (1, p.there and p.copy > 1, 'duplicate', null, p.copy::text),
    (2, p.there and not p.here and p.their_status in ('paid', 'succeeded'), 'missing_here', null, p.their_amount::text),
    (3, not p.there and p.our_status in ('paid', 'succeeded') and p.booked_at between p_since and p_until, 'missing_there',
      p.our_amount::text, null),
    (4, p.there and p.here and p.their_currency <> p.our_currency, 'currency', p.our_currency, p.their_currency),
    (5, p.there and p.here and p.their_charge <> p.our_charge, 'wrong_charge', p.our_charge, p.their_charge),
    (6, p.there and p.here and p.their_status <> p.our_status, 'status', p.our_status, p.their_status),
    (7, p.there and p.here and p.their_amount <> p.our_amount and p.our_status in ('paid', 'succeeded'), 'amount',
      p.our_amount::text, p.their_amount::text),
    (8, p.there and p.here and p.our_status in ('paid', 'succeeded') and p.booked_at > p.moved_at + p_late, 'late',
      p.booked_at::text, p.moved_at::text),
    (9, p.there and p.here, 'same', null, null)
  ) as c (rank, applies, found, ours, theirs) where c.applies order by c.rank limit 1) d
$$;
comment on function private.gateway_differences(uuid, timestamptz, timestamptz, jsonb, interval) is
  'security definer: compares the books of an account with the gateway''s list, whoever asks; one row per movement or attempt, found = same where they agree, moved where money is said to have.';
revoke execute on function private.gateway_differences(uuid, timestamptz, timestamptz, jsonb, interval)
  from public, anon, authenticated, service_role;

create or replace function private.clearing_balances(p_account_id uuid, p_since timestamptz, p_until timestamptz, p_rows jsonb)
  returns table (currency text, ours bigint, theirs bigint, booked bigint)
  language sql stable set search_path = '' as $$
  with listed as (
    select distinct on (r.kind, r.provider_id) r.*
    from jsonb_to_recordset(p_rows) as r (kind text, provider_id text, amount_cents bigint, currency text, status text, at timestamptz)
    order by r.kind, r.provider_id, r.at
  ), booked as materialized (select b.* from private.booked_movements(p_account_id) b),
  moved as (
    select 'theirs' as side, l.kind, l.currency, l.amount_cents from listed l where l.status in ('paid', 'succeeded')
    union all
    -- What the list is too short for is taken as it stands here.
    select 'theirs', b.kind, b.currency, b.amount_cents from booked b
    where b.status in ('paid', 'succeeded') and b.booked_at not between p_since and p_until
      and not exists (select from listed l where l.kind = b.kind and l.provider_id = b.provider_id)
    union all
    select 'booked', b.kind, b.currency, b.amount_cents from booked b where b.status in ('paid', 'succeeded')
    union all
    select 'ours', 'charge', t.currency, e.amount_cents
    from public.payments p join public.journal_transactions t on t.subject_id = p.id and t.subject = 'payment'
    join public.journal_entries e on e.transaction_id = t.id and e.account like 'clearing:%'
    where p.gateway_account_id = p_account_id
  ), summed as (
    select m.currency, m.side, sum(case m.kind when 'refund' then -m.amount_cents else m.amount_cents end)::bigint as amount
    from moved m group by 1, 2
  )
  select s.currency, coalesce(sum(s.amount) filter (where s.side = 'ours'), 0)::bigint,
    coalesce(sum(s.amount) filter (where s.side = 'theirs'), 0)::bigint,
    coalesce(sum(s.amount) filter (where s.side = 'booked'), 0)::bigint
  from summed s group by s.currency
$$;
comment on function private.clearing_balances(uuid, timestamptz, timestamptz, jsonb) is
  'By currency, what the clearing account of the books holds for a gateway account, what the gateway''s list makes it, and what charges and refunds here do.';
revoke execute on function private.clearing_balances(uuid, timestamptz, timestamptz, jsonb)
  from public, anon, authenticated, service_role;

create or replace function public.reconcile_gateway(p_account_id uuid, p_since timestamptz, p_until timestamptz, p_rows jsonb,
  p_late interval default interval '1 day') returns uuid
  language plpgsql security definer set search_path = '' as $$
declare
  v_last constant timestamptz := (select max(r.until) from public.reconciliations r where r.gateway_account_id = p_account_id);
  v_id uuid;
  v_findings jsonb;
begin
  with compared as materialized (select * from private.gateway_differences(p_account_id, p_since, p_until, p_rows, p_late)),
  verified as (
    -- What an earlier run has seen already is not verified anew.
    select extract(epoch from p_until - c.moved_at) as seconds from compared c
    where c.moved and c.found in ('same', 'late') and (v_last is null or c.moved_at > v_last)
  ), clearing as materialized (select * from private.clearing_balances(p_account_id, p_since, p_until, p_rows)),
  unexplained as (
    -- One fault is one finding: where the list differs from charges and refunds here, a movement has said so already.
    select jsonb_agg(jsonb_build_object('kind', 'balance', 'subject', b.currency, 'id', null, 'provider_id', null, 'ours', b.ours::text,
      'theirs', b.theirs::text) order by b.currency) as found
    from clearing b where b.ours <> b.booked
  ), carried as (
    -- What the run before found and this one does not look at stays found until somebody says that it is settled, which closes the alert.
    select jsonb_agg(f order by f ->> 'at', f ->> 'provider_id') as found
    from jsonb_array_elements((select r.findings from public.reconciliations r where r.gateway_account_id = p_account_id
      order by r.created_at desc, r.id desc limit 1)) f
    where (f ->> 'at')::timestamptz not between p_since and p_until and f ->> 'kind' <> 'late'
      and exists (select from public.gateway_alerts a where a.gateway_account_id = p_account_id and a.kind = 'not_reconciled'
        and a.closed_at is null)
      -- Listed all the same, or booked since.
      and not exists (select from jsonb_to_recordset(p_rows) as r (kind text, provider_id text)
        where r.kind = f ->> 'subject' and r.provider_id = f ->> 'provider_id')
      and not (f ->> 'kind' = 'missing_here' and exists (select from private.booked_movements(p_account_id) h
        where h.kind = f ->> 'subject' and h.provider_id = f ->> 'provider_id'))
  )
  insert into public.reconciliations (gateway_account_id, practice_id, since, until, rows_there, rows_here, matched, findings, balances,
    verify_seconds_p50, verify_seconds_p99)
  select p_account_id, (select g.practice_id from public.gateway_accounts g where g.id = p_account_id), p_since, p_until,
    -- Attempts that failed moved nothing, and so have nothing to match.
    (select count(*) from jsonb_to_recordset(p_rows) as r (status text) where r.status in ('paid', 'succeeded')),
    count(*) filter (where c.moved and c.ours_id is not null and c.found <> 'duplicate'),
    count(*) filter (where c.moved and c.found in ('same', 'late')),
    coalesce(jsonb_agg(jsonb_build_object('kind', c.found, 'subject', c.subject, 'id', c.ours_id, 'provider_id', c.provider_id,
      'ours', c.ours, 'theirs', c.theirs, 'at', c.moved_at) order by c.moved_at, c.provider_id)
      filter (where c.found <> 'same'), '[]')
      || coalesce((select u.found from unexplained u), '[]') || coalesce((select k.found from carried k), '[]'),
    (select coalesce(jsonb_object_agg(b.currency, jsonb_build_object('ours', b.ours, 'theirs', b.theirs)), '{}') from clearing b),
    (select percentile_cont(0.5) within group (order by v.seconds) from verified v),
    (select percentile_cont(0.99) within group (order by v.seconds) from verified v)
  from compared c
  returning id, findings into v_id, v_findings;
  if jsonb_array_length(v_findings) > 0 then
    perform private.open_gateway_alert(p_account_id, 'not_reconciled', null,
      format('%s differences between the books and the gateway.', jsonb_array_length(v_findings)));
  else
    update public.gateway_alerts set closed_at = now()
    where gateway_account_id = p_account_id and kind = 'not_reconciled' and closed_at is null;
  end if;
  return v_id;
end $$;
comment on function public.reconcile_gateway(uuid, timestamptz, timestamptz, jsonb, interval) is
  'security definer: writes rows that nobody may write. Compares the books with the gateway''s list of a time, keeps what was found, with what the run before found outside that time, and returns its id.';

create or replace function public.settle_gateway_differences(p_account_id uuid) returns void
  language plpgsql security definer set search_path = '' as $$
begin
  perform from public.gateway_accounts g join public.practice_members m on m.practice_id = g.practice_id
    where g.id = p_account_id and m.user_id = private.me() and m.role = 'owner';
  if not found then perform private.fail(404, 'not_found', 'There is no such thing here.'); end if;
  update public.gateway_alerts set closed_at = now()
  where gateway_account_id = p_account_id and kind = 'not_reconciled' and closed_at is null;
end $$;
comment on function public.settle_gateway_differences(uuid) is
  'security definer: the owner of a practice says that what a comparison found is dealt with. What a later one does not look at any more is then forgotten.';

revoke execute on function public.settle_gateway_differences(uuid) from public, anon, authenticated, service_role;
grant execute on function public.settle_gateway_differences(uuid) to authenticated;
revoke execute on function public.reconcile_gateway(uuid, timestamptz, timestamptz, jsonb, interval)
  from public, anon, authenticated, service_role;
grant execute on function public.reconcile_gateway(uuid, timestamptz, timestamptz, jsonb, interval) to service_role;
