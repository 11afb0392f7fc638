create table if not exists public.coach_clients (
  id uuid primary key default gen_random_uuid(),
  coach_id uuid not null references public.users (id) on delete cascade,
  client_id uuid references public.users (id) on delete set null,
  email text,
  display_name text,
  phone text,
  status text not null default 'active',
  source text not null default 'manual',
  invited_at timestamptz,
  accepted_at timestamptz,
  ended_at timestamptz,
  metadata jsonb not null default '{}',
  created_at timestamptz not null default now(),
  updated_at timestamptz not null default now(),
  constraint coach_clients_coach_id_client_id_key unique (coach_id, client_id),
  constraint coach_clients_different_people_check check (client_id is null or client_id <> coach_id),
  constraint coach_clients_somebody_check check (client_id is not null or email is not null or display_name is not null),
  constraint coach_clients_status_check check (status in ('invited', 'active', 'ended')),
  constraint coach_clients_source_check check (source in ('manual', 'invitation', 'booking', 'session')),
  constraint coach_clients_email_check check (
    email is null or (char_length(email) between 3 and 320 and email ~ '^[^@[:space:][:cntrl:]]+@[^@[:space:][:cntrl:]]+$')
  ),
  constraint coach_clients_display_name_check check (display_name is null or char_length(btrim(display_name)) between 1 and 200),
  constraint coach_clients_display_name_plain check (private.is_plain_line(display_name)),
  constraint coach_clients_phone_check check (phone is null or char_length(phone) between 3 and 40),
  constraint coach_clients_metadata_check check (jsonb_typeof(metadata) = 'object')
);
comment on table public.coach_clients is
  'That somebody is a coach''s client: by booking, invitation or by hand, before they have an account too. Not implied by a session.';
comment on column public.coach_clients.client_id is 'The client''s account, once they accepted or verified the address; null before.';
comment on column public.coach_clients.status is 'invited: asked and not answered; active: a client, with or without an account; ended: no longer.';

create unique index if not exists coach_clients_coach_id_email_key on public.coach_clients (coach_id, lower(email));
create index if not exists coach_clients_client_id_idx on public.coach_clients (client_id);
create index if not exists coach_clients_unlinked_email_idx on public.coach_clients (lower(email)) where client_id is null;
create index if not exists coach_clients_coach_id_created_at_idx on public.coach_clients (coach_id, created_at desc, id desc);

revoke all on public.coach_clients from public, anon, authenticated, service_role;
grant select on public.coach_clients to authenticated;
grant insert (coach_id, email, display_name, phone, status, source) on public.coach_clients to authenticated;
grant update (email, display_name, phone, status) on public.coach_clients to authenticated;
grant select, insert, update, delete on public.coach_clients to service_role;
alter table public.coach_clients enable row level security;

create or replace function private.my_client_ids()
returns uuid[]
language sql
stable
security definer
set search_path = ''
as $$
  select coalesce(array_agg(c.client_id), '{}')
  from public.coach_clients as c
  where c.coach_id = private.me() and c.client_id is not null and c.status = 'active'
$$;
comment on function private.my_client_ids() is
  'security definer: policies of users and coach_clients call it. The accounts that are clients of the active user.';
revoke execute on function private.my_client_ids() from public, anon, authenticated, service_role;
grant execute on function private.my_client_ids() to authenticated, service_role;

create or replace function private.my_coach_ids()
returns uuid[]
language sql
stable
security definer
set search_path = ''
as $$
  select coalesce(array_agg(c.coach_id), '{}')
  from public.coach_clients as c
  where c.client_id = private.me() and c.status = 'active'
$$;
comment on function private.my_coach_ids() is
  'security definer: policies of users and coach_clients call it. The coaches of the active user.';
revoke execute on function private.my_coach_ids() from public, anon, authenticated, service_role;
grant execute on function private.my_coach_ids() to authenticated, service_role;

drop policy if exists coach_clients_select_party on public.coach_clients;
create policy coach_clients_select_party on public.coach_clients for select to authenticated
using (coach_id = (select private.me()) or client_id = (select private.me()) or (select private.i_am_admin()));
comment on policy coach_clients_select_party on public.coach_clients is 'The coach, the client and an admin read the relation.';

drop policy if exists coach_clients_insert_coach on public.coach_clients;
create policy coach_clients_insert_coach on public.coach_clients for insert to authenticated
with check (coach_id = (select private.me()) and (select private.i_am_coach()));
comment on policy coach_clients_insert_coach on public.coach_clients is
  'A coach adds clients of their own by name and address. Accounts are tied by the person, not by the coach.';

drop policy if exists coach_clients_update_coach on public.coach_clients;
create policy coach_clients_update_coach on public.coach_clients for update to authenticated
using (coach_id = (select private.me()))
with check (coach_id = (select private.me()));
comment on policy coach_clients_update_coach on public.coach_clients is 'The coach keeps name, address and phone, and ends or resumes the relation.';

drop policy if exists users_select_relations on public.users;
create policy users_select_relations on public.users for select to authenticated
using (id = any ((select private.my_client_ids())::uuid[]) or id = any ((select private.my_coach_ids())::uuid[]));
comment on policy users_select_relations on public.users is 'A coach reads profiles of present clients, a client those of present coaches.';

create or replace function private.guard_coach_client()
returns trigger
language plpgsql
security definer
set search_path = ''
as $$
begin
  new.email := lower(btrim(new.email));
  new.display_name := btrim(new.display_name);
  if tg_op = 'INSERT' then
    -- An account is never granted for inserting: a row that names one comes from a function that knows why.
    if private.acting_as_api() and new.client_id is null then
      if new.status not in ('active', 'invited') or new.source not in ('manual', 'invitation') then
        perform private.fail(422, 'client_state_invalid', 'A client is added as active or invited, by hand or by invitation.');
      end if;
      if new.status = 'invited' and new.email is null then
        perform private.fail(422, 'client_email_missing', 'An invitation needs an e-mail address.');
      end if;
    end if;
  elsif private.acting_as_api() then
    if new.email is not null and new.email is distinct from old.email and old.client_id is not null then
      perform private.fail(409, 'client_has_account', 'This client has an account: its address is theirs to change.');
    end if;
    if old.status <> new.status and new.status = 'invited' and new.email is null then
      perform private.fail(422, 'client_email_missing', 'An invitation needs an e-mail address.');
    end if;
    -- An invitation becomes a relation by the person's answer; whoever ended it is asked again.
    if old.status <> new.status and new.status = 'active' and new.client_id is not null
      and (old.status = 'invited' or old.metadata ? 'ended_by_client') and private.me() is distinct from new.client_id then
      perform private.fail(409, 'invitation_open', 'Only the invited person can accept an invitation.');
    end if;
  end if;
  if new.status = 'invited' and new.invited_at is null then
    new.invited_at := now();
  end if;
  if new.status = 'ended' and new.ended_at is null then
    new.ended_at := now();
  elsif new.status <> 'ended' then
    new.ended_at := null;
  end if;
  return new;
end;
$$;
comment on function private.guard_coach_client() is
  'security definer: reads the active user while policies of the table run. Trigger: normalises addresses and holds API users to the states of a relation.';
revoke execute on function private.guard_coach_client() from public, anon, authenticated, service_role;

drop trigger if exists coach_clients_guard on public.coach_clients;
create trigger coach_clients_guard before insert or update on public.coach_clients
for each row execute function private.guard_coach_client();
drop trigger if exists coach_clients_touch on public.coach_clients;
create trigger coach_clients_touch before update on public.coach_clients
for each row execute function private.touch_updated_at();
