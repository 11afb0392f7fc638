create or replace function private.delivery_roll_up(p_message_id uuid)
returns table (
  channel public.message_delivery_channel,
  status public.message_delivery_status,
  sent_at timestamptz,
  error_message text
)
language plpgsql
stable
security definer
set search_path = ''
as $$
#variable_conflict use_column
begin
  -- In plpgsql, whose plans stay with the connection.
  return query
  select
    d.channel,
    (case when d.open > 0 then 'pending' when d.sent > 0 then 'sent' else 'failed' end)::public.message_delivery_status,
    case when d.open = 0 then d.sent_at end,
    case
      when d.open > 0 then null
      when d.failed > 0 and d.sent > 0 then format('failed for %s of %s: %s', d.failed, d.failed + d.sent, d.errors)
      when d.failed > 0 then d.errors
      when d.sent = 0 then 'suppressed: ' || d.reasons
    end
  from (
    select
      md.channel,
      count(*) filter (where md.state in ('pending', 'leased')) as open,
      count(*) filter (where md.state = 'sent') as sent,
      count(*) filter (where md.state = 'failed') as failed,
      max(md.sent_at) as sent_at,
      string_agg(distinct coalesce(md.error_message, md.reason), '; ') filter (where md.state = 'failed') as errors,
      string_agg(distinct md.reason, ', ') filter (where md.state = 'suppressed') as reasons
    from public.message_deliveries as md
    where md.message_id = p_message_id
    group by md.channel
  ) as d;
end;
$$;
comment on function private.delivery_roll_up(uuid) is
  'security definer: reads all deliveries of a message. What its rows add up to, per channel.';
revoke execute on function private.delivery_roll_up(uuid) from public, anon, authenticated, service_role;

create or replace function private.roll_up_deliveries()
returns trigger
language plpgsql
security definer
set search_path = ''
as $$
declare
  v_message_id uuid;
begin
  -- Taking a lease changes nothing that a roll-up says.
  for v_message_id in select distinct c.message_id from changed as c where c.state <> 'leased' order by 1 loop
    -- Two workers may end two deliveries of one message at once. The lock makes the later one wait, and the statement after
    -- it sees what the earlier one committed; without it both would count the other's row as open, for ever.
    perform
    from public.message_delivery_states as s
    where s.message_id = v_message_id
    order by s.channel
    for update;
    insert into public.message_delivery_states as s (message_id, channel, status, sent_at, error_message)
    select v_message_id, r.channel, r.status, r.sent_at, r.error_message
    from private.delivery_roll_up(v_message_id) as r
    on conflict (message_id, channel) do update
    set status = excluded.status, sent_at = excluded.sent_at, error_message = excluded.error_message
    where (s.status, s.sent_at, s.error_message) is distinct from (excluded.status, excluded.sent_at, excluded.error_message);
  end loop;
  return null;
end;
$$;
comment on function private.roll_up_deliveries() is
  'security definer: writes the roll-up, which no API role may. Trigger for each statement on deliveries.';
revoke execute on function private.roll_up_deliveries() from public, anon, authenticated, service_role;

drop trigger if exists message_deliveries_roll_up_new on public.message_deliveries;
create trigger message_deliveries_roll_up_new after insert on public.message_deliveries
referencing new table as changed
for each statement execute function private.roll_up_deliveries();
drop trigger if exists message_deliveries_roll_up_moved on public.message_deliveries;
create trigger message_deliveries_roll_up_moved after update on public.message_deliveries
referencing new table as changed
for each statement execute function private.roll_up_deliveries();
