-- The inbox of webhooks and the list of what must be asked again.

create or replace function public.receive_webhook(p_account_id uuid, p_event_id text, p_event_type text, p_occurred_at timestamptz,
  p_payload jsonb) returns uuid
  language plpgsql security definer set search_path = '' as $$
declare
  v_event public.webhook_events;
begin
  insert into public.webhook_events as e (gateway_account_id, provider, event_id, event_type, occurred_at, payload)
  select g.id, g.provider, p_event_id, p_event_type, p_occurred_at, p_payload from public.gateway_accounts g where g.id = p_account_id
  on conflict (gateway_account_id, event_id) do update
    set times_received = e.times_received + 1, last_received_at = now(),
      status = case when e.status = 'failed' then 'received' else e.status end
  returning * into v_event;
  -- The first time, and again when it failed before: the gateway gives another chance.
  if v_event.status = 'received' and (v_event.times_received = 1 or v_event.attempts > 0) then
    perform private.enqueue('billing.handle_webhook', jsonb_build_object('event_id', v_event.id));
  end if;
  return v_event.id;
end $$;
comment on function public.receive_webhook(uuid, text, text, timestamptz, jsonb) is
  'security definer: enqueues. Stores a verified event once and has it handled, in one transaction. Returns its row.';

create or replace function public.finish_webhook(p_id uuid, p_status text, p_outcome text default null, p_error text default null)
  returns void
  language sql security definer set search_path = '' as $$
  -- Still received: handling it broke off. After the twentieth time the repair leaves it to people, who find it among the failed.
  update public.webhook_events set status = case when p_status = 'received' and attempts >= 19 then 'failed' else p_status end,
    outcome = p_outcome, error_message = left(p_error, 500), attempts = attempts + 1,
    handled_at = case when p_status in ('handled', 'ignored') then now() end
  where id = p_id and handled_at is null
$$;
comment on function public.finish_webhook(uuid, text, text, text) is
  'security definer: moves guarded rows for the service. How the handling of an event ended: handled, ignored or failed; received where it broke off.';

create or replace function public.replay_webhooks(p_ids uuid[] default null, p_account_id uuid default null,
  p_since timestamptz default null, p_statuses text[] default '{failed}') returns setof uuid
  language plpgsql security definer set search_path = '' as $$
declare
  v_id uuid;
begin
  if private.acting_as_api() and not private.i_am_admin() then
    perform private.fail(404, 'not_found', 'There is no such thing, or it is not yours.');
  end if;
  -- As if it had just come. Should whoever replays it stop, the repair handles it.
  for v_id in update public.webhook_events set status = 'received', handled_at = null, outcome = null, error_message = null, attempts = 0,
      replayed_at = now(), replayed_by = private.me()
    where (p_ids is null or id = any (p_ids)) and (p_account_id is null or gateway_account_id = p_account_id)
      and (p_since is null or received_at >= p_since) and status = any (p_statuses)
    returning id
  loop
    -- The operator's command handles what it opened itself; for an admin the worker does.
    if private.acting_as_api() then perform private.enqueue('billing.handle_webhook', jsonb_build_object('event_id', v_id)); end if;
    return next v_id;
  end loop;
end $$;
comment on function public.replay_webhooks(uuid[], uuid, timestamptz, text[]) is
  'security definer: users enqueue nothing themselves. An admin, or the service, opens events of the inbox again; what they tell of is looked up anew, so nothing is booked twice. Returns them, with who did it on record.';

create or replace function public.take_due_checks(p_limit integer default 50) returns table (kind text, id uuid)
  language sql security definer set search_path = '' as $$
  select private.drop_stale_hold_payments();
  with intents as (
    update public.payment_intents i set next_check_at = now() + interval '1 minute'
    where i.id in (select x.id from public.payment_intents x where x.next_check_at <= now() and x.gateway_account_id is not null
                   order by x.next_check_at limit p_limit for no key update skip locked)
    returning 'intent', i.id
  ), refunds as (
    -- Not pushed on: begin_refund_call takes the lease of those that were never answered.
    select 'refund', r.id from public.payment_refunds r
    join public.payments p on p.id = r.payment_id and p.gateway_account_id is not null
    where r.next_check_at <= now() order by r.next_check_at limit p_limit
  ), events as (
    select 'event', e.id from public.webhook_events e
    where e.handled_at is null and e.attempts < 20
      -- The more often it failed, the later: one that can't be handled keeps no other waiting.
      and e.received_at < now() - interval '2 minutes' * (e.attempts + 1) * (e.attempts + 1)
    order by e.received_at limit p_limit
  )
  , setups as (
    update public.payment_method_setups s set next_check_at = now() + interval '1 minute'
    where s.id in (select x.id from public.payment_method_setups x where x.next_check_at <= now()
                   order by x.next_check_at limit p_limit for no key update skip locked)
    returning 'setup', s.id
  )
  select * from intents union all select * from refunds union all select * from events union all select * from setups
$$;
comment on function public.take_due_checks(integer) is
  'security definer: moves guarded rows for the service. What the repair has to ask the gateway about now, and events that nobody handled.';

revoke execute on function public.receive_webhook(uuid, text, text, timestamptz, jsonb), public.finish_webhook(uuid, text, text, text),
  public.replay_webhooks(uuid[], uuid, timestamptz, text[]), public.take_due_checks(integer) from public, anon, authenticated, service_role;
grant execute on function public.receive_webhook(uuid, text, text, timestamptz, jsonb), public.finish_webhook(uuid, text, text, text),
  public.take_due_checks(integer) to service_role;
grant execute on function public.replay_webhooks(uuid[], uuid, timestamptz, text[]) to authenticated, service_role;
