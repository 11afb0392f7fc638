create table if not exists public.suppressed_addresses (
  id uuid primary key default gen_random_uuid(),
  address text not null,
  reason text not null,
  detail text,
  delivery_id uuid,
  created_at timestamptz not null default now(),
  lifted_at timestamptz,
  lifted_by uuid,
  constraint suppressed_addresses_reason_check check (reason in ('bounced', 'refused', 'by_hand')),
  constraint suppressed_addresses_address_check check (address = lower(address) and address <> ''),
  constraint suppressed_addresses_detail_check check (char_length(detail) <= 500)
);
comment on table public.suppressed_addresses is
  'Addresses that mail does not reach, and so is not sent to until somebody lifts it. Kept after that, as the record.';
comment on column public.suppressed_addresses.reason is
  'bounced: a report came back; refused: the server would not take it for this mailbox; by_hand: an admin.';
comment on column public.suppressed_addresses.delivery_id is 'The delivery that found out. Kept as it was when messages go.';

create unique index if not exists suppressed_addresses_once_key on public.suppressed_addresses (address) where lifted_at is null;
create index if not exists suppressed_addresses_newest_idx on public.suppressed_addresses (created_at desc, id desc);

revoke all on public.suppressed_addresses from public, anon, authenticated, service_role;
grant select on public.suppressed_addresses to authenticated;
grant select, insert, update on public.suppressed_addresses to service_role;
alter table public.suppressed_addresses enable row level security;

create or replace function private.my_address()
returns text
language plpgsql
stable
security definer
set search_path = ''
as $$
begin
  return (select lower(u.email) from public.users as u where u.id = private.me());
end;
$$;
comment on function private.my_address() is
  'security definer: policies call it, so it must read users without them. The e-mail address of the active user.';
revoke execute on function private.my_address() from public, anon, authenticated, service_role;
grant execute on function private.my_address() to authenticated, service_role;

drop policy if exists suppressed_addresses_select_own on public.suppressed_addresses;
create policy suppressed_addresses_select_own on public.suppressed_addresses for select to authenticated
using (address = (select private.my_address()) or (select private.i_am_admin()));
comment on policy suppressed_addresses_select_own on public.suppressed_addresses is
  'Everybody sees what is said of their own address; an admin sees all. A coach is told by the deliveries.';

create or replace function private.suppress_address(p_address text, p_reason text, p_detail text, p_delivery_id uuid)
returns void
language sql
security definer
set search_path = ''
as $$
  insert into public.suppressed_addresses (address, reason, detail, delivery_id)
  values (lower(btrim(p_address)), p_reason, left(p_detail, 500), p_delivery_id)
  on conflict (address) where lifted_at is null do nothing
$$;
comment on function private.suppress_address(text, text, text, uuid) is
  'security definer: one way for all who find out. From now on no mail about messages goes to this address.';
revoke execute on function private.suppress_address(text, text, text, uuid) from public, anon, authenticated, service_role;
grant execute on function private.suppress_address(text, text, text, uuid) to service_role;

create or replace function private.is_suppressed(p_address text)
returns boolean
language sql
stable
security definer
set search_path = ''
as $$
  select exists (select from public.suppressed_addresses as s where s.address = lower(p_address) and s.lifted_at is null)
$$;
comment on function private.is_suppressed(text) is
  'security definer: senders ask, whoever they are. Whether mail to this address is known not to arrive.';
revoke execute on function private.is_suppressed(text) from public, anon, authenticated, service_role;
grant execute on function private.is_suppressed(text) to service_role;

create or replace function public.lift_suppression(p_id uuid)
returns void
language plpgsql
security definer
set search_path = ''
as $$
begin
  update public.suppressed_addresses as s
  set lifted_at = now(), lifted_by = private.me()
  where s.id = p_id and s.lifted_at is null and (s.address = private.my_address() or private.i_am_admin());
  if not found then
    perform private.fail(404, 'not_found', 'Not found.');
  end if;
end;
$$;
comment on function public.lift_suppression(uuid) is
  'security definer: nobody may update suppressions. Mail is tried again: the person, once the mailbox works, or an admin.';
revoke execute on function public.lift_suppression(uuid) from public, anon, authenticated, service_role;
grant execute on function public.lift_suppression(uuid) to authenticated;
