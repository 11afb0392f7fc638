create table if not exists public.message_delivery_states (
  id uuid primary key default gen_random_uuid(),
  message_id uuid not null references public.messages (id) on delete cascade,
  channel public.message_delivery_channel not null,
  status public.message_delivery_status not null default 'pending',
  sent_at timestamptz,
  error_message text,
  created_at timestamptz not null default now(),
  updated_at timestamptz not null default now(),
  conversation_id uuid not null,
  message_seq bigint not null,
  sender_id uuid not null,
  unique (message_id, channel)
);
comment on table public.message_delivery_states is
  'How a message fared on a channel, over all its recipients: the roll-up of message_deliveries, kept by trigger.';
comment on column public.message_delivery_states.status is
  'pending while any delivery is open, then sent if any was sent, else failed. Where every one was suppressed: failed, and error_message begins with "suppressed:".';
comment on column public.message_delivery_states.conversation_id is 'The message''s conversation, kept by trigger.';
comment on column public.message_delivery_states.message_seq is 'The message''s seq, kept by trigger.';
comment on column public.message_delivery_states.sender_id is 'The message''s sender, kept by trigger.';

create index if not exists message_delivery_states_place_idx on public.message_delivery_states (conversation_id, message_seq);

revoke all on public.message_delivery_states from public, anon, authenticated, service_role;
grant select on public.message_delivery_states to authenticated;
grant select, insert, update, delete on public.message_delivery_states to service_role;
alter table public.message_delivery_states enable row level security;

drop policy if exists message_delivery_states_service_only on public.message_delivery_states;

drop policy if exists message_delivery_states_select_sender on public.message_delivery_states;
create policy message_delivery_states_select_sender on public.message_delivery_states for select to authenticated
using (
  conversation_id = any ((select private.my_readable_conversation_ids())::uuid[])
  and (
    sender_id = (select private.me())
    or conversation_id = any ((select private.my_led_conversation_ids())::uuid[])
    or (select private.i_am_admin())
  )
);
comment on policy message_delivery_states_select_sender on public.message_delivery_states is
  'The sender, the coach in the conversation and an admin see how a message fared.';

create or replace function private.place_delivery()
returns trigger
language plpgsql
security definer
set search_path = ''
as $$
begin
  select m.conversation_id, m.seq, m.sender_id
  into new.conversation_id, new.message_seq, new.sender_id
  from public.messages as m
  where m.id = new.message_id;
  return new;
end;
$$;
comment on function private.place_delivery() is
  'security definer: reads the message whoever inserts. Trigger: copies conversation, seq and sender to deliveries and their roll-up.';
revoke execute on function private.place_delivery() from public, anon, authenticated, service_role;

drop trigger if exists message_delivery_states_place on public.message_delivery_states;
create trigger message_delivery_states_place before insert on public.message_delivery_states
for each row execute function private.place_delivery();
drop trigger if exists message_delivery_states_touch on public.message_delivery_states;
create trigger message_delivery_states_touch before update on public.message_delivery_states
for each row execute function private.touch_updated_at();
