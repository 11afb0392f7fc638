create or replace function private.delivery_plan(p_message_id uuid)
returns table (recipient_id uuid, channel public.message_delivery_channel, reason text)
language plpgsql
stable
security definer
set search_path = ''
as $$
begin
  -- Preferences come after this file, so nothing may look for them before the first message does.
  return query
  select
    p.user_id,
    c.channel,
    case
      when u.status <> 'active' then 'inactive'
      -- Notices tell of sessions and money on these channels already.
      when c.channel <> 'in_app' and m.type = 'system' then 'system_message'
      when c.channel = 'email' and (u.email = '' or u.email like '%.invalid') then 'no_email'
      when c.channel = 'email' and private.is_suppressed(u.email) then 'address_suppressed'
      when c.channel = 'push' and not exists (
        select from public.push_subscriptions as s where s.user_id = p.user_id and s.retired_at is null
      ) then 'no_subscription'
      -- Who shares no receipts shares neither of these: with one of them shown, what is withheld later could only be "read".
      when c.channel <> 'in_app' and x.share_receipts is false
        and (p.is_muted or replace(c.channel::text, '_', '') <> all (wanted.channels)) then 'withheld'
      when c.channel <> 'in_app' and p.is_muted then 'muted'
      when replace(c.channel::text, '_', '') <> all (wanted.channels) then 'preference_off'
    end
  from public.messages as m
  join public.conversation_participants as p
    on p.conversation_id = m.conversation_id and p.left_at is null and p.user_id <> m.sender_id and p.history_from_seq <= m.seq
  join public.users as u on u.id = p.user_id
  left join public.messaging_preferences as x on x.user_id = p.user_id
  cross join lateral (select private.wanted_channels(p.user_id, 'messages')) as wanted (channels)
  cross join unnest(enum_range(null::public.message_delivery_channel)) as c (channel)
  where m.id = p_message_id;
end;
$$;
comment on function private.delivery_plan(uuid) is
  'security definer: reads addresses and preferences of everybody in the conversation. Who a message goes to on which channel, as of now, and why not.';
revoke execute on function private.delivery_plan(uuid) from public, anon, authenticated, service_role;
grant execute on function private.delivery_plan(uuid) to service_role;

create or replace function private.plan_deliveries(p_message_id uuid)
returns void
language plpgsql
volatile
security definer
set search_path = ''
as $$
begin
  -- In the app a message has arrived when it is stored. What makes a sound waits for the end of quiet hours.
  insert into public.message_deliveries (message_id, recipient_id, channel, state, reason, next_attempt_at, sent_at)
  select
    p_message_id, plan.recipient_id, plan.channel, next.state,
    coalesce(plan.reason, case when quiet.until is not null then 'quiet_hours' end),
    case when next.state = 'pending' then coalesce(quiet.until, now()) end,
    case when next.state = 'sent' then now() end
  from private.delivery_plan(p_message_id) as plan
  cross join lateral (
    select case when plan.reason is not null then 'suppressed' when plan.channel = 'in_app' then 'sent' else 'pending' end
  ) as next (state)
  cross join lateral (
    -- Asked once for each: without the offset it would be put wherever its answer is used.
    select case when next.state = 'pending' then private.quiet_until(plan.recipient_id) end offset 0
  ) as quiet (until)
  on conflict on constraint message_deliveries_once_key do nothing;
end;
$$;
comment on function private.plan_deliveries(uuid) is
  'security definer: writes deliveries, which no API role may. Plans a message''s deliveries in the message''s own transaction.';
revoke execute on function private.plan_deliveries(uuid) from public, anon, authenticated, service_role;
grant execute on function private.plan_deliveries(uuid) to service_role;
