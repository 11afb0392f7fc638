-- Payments: statuses as people typed them, users who are gone, and links to sessions that hold, that do not, and that are none.
insert into public.payments (
  id, user_id, amount_cents, currency, description, status, provider, provider_transaction_id, idempotency_key, metadata,
  raw_payload, created_at, updated_at)
select
  pg_temp.uid('payment', n),
  case
    when pg_temp.roll(n, 100, 20) = 0 then null
    -- Somebody else's session, whatever the payment says.
    when link = 5 then pg_temp.uid('person', pg_temp.client(pg_temp.roll(n, 101, 1000000)))
    when s > 0 then pg_temp.uid('person', pg_temp.client_of_session(s))
    else pg_temp.uid('person', pg_temp.client(n))
  end,
  case pg_temp.roll(n, 102, 1000) when 0 then 2147483647 else 1 + pg_temp.roll(n, 103, 100000) end,
  pg_temp.pick(n, 104, pg_temp.list('currencies')),
  pg_temp.pick(n, 105, array[null, '', 'תשלום', 'Session']),
  pg_temp.pick(n, 106, pg_temp.list('statuses')),
  pg_temp.pick(n, 107, array['tranzila', 'tranzila', 'tranzila', 'Tranzila', 'stripe', 'cash', '']),
  case pg_temp.roll(n, 108, 5) when 0 then null else format('t%s', n) end,
  case pg_temp.roll(n, 109, 3) when 0 then format('key-%s', n) end,
  case
    when link <= 3 and s > 0 then jsonb_build_object('session_id', pg_temp.uid('session', s))
    when link = 4 and s > 0 then jsonb_build_object('sessionId', upper(pg_temp.uid('session', s)::text))
    when link = 5 and s > 0 then jsonb_build_object('session_id', pg_temp.uid('session', s))
    when link = 6 then null
    when link = 7 then pg_temp.pick(n, 110, array['[]', '"text"', '5', 'null', '[{"session_id": "x"}]'])::jsonb
    when link = 8 then pg_temp.pick(n, 111, array[
      '{"session_id": "not an id"}', '{"session_id": null}', '{"session_id": 7}', '{"session": "00000000-0000-4000-8000-000000000000"}'])::jsonb
    else jsonb_build_object('note', U&'\200F\05DC\05D0\05D7\05E8 \05E9\05D9\05D7\05D4')
  end,
  case pg_temp.roll(n, 112, 2) when 0 then null else jsonb '{"Response": "000"}' end,
  made, made
from (
  select
    n::bigint, pg_temp.roll(n, 113, 10) as link, pg_temp.today() - make_interval(hours => pg_temp.roll(n, 114, 36000)) as made,
    case when pg_temp.size('sessions') > 0 then 1 + pg_temp.roll(n, 115, pg_temp.size('sessions')) else 0 end::bigint as s
  from generate_series(1, pg_temp.size('payments')) as n
) as numbered;
