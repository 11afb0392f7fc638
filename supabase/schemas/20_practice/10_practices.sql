create table if not exists public.practices (
  id uuid primary key default gen_random_uuid(),
  name text not null,
  legal_name text,
  tax_id text,
  email text,
  phone text,
  address text,
  country text not null default 'IL',
  timezone text not null default 'Asia/Jerusalem',
  language public.language not null default 'en',
  currency text not null default 'ILS',
  tax_rate_bp integer not null default 0,
  invoice_due_days integer not null default 14,
  tax_scheme text not null default 'own_rate',
  prices_include_tax boolean not null default false,
  documents_elsewhere boolean not null default false,
  auto_charge text not null default 'off',
  metadata jsonb not null default '{}',
  created_at timestamptz not null default now(),
  updated_at timestamptz not null default now(),
  constraint practices_name_check check (char_length(btrim(name)) between 1 and 200),
  constraint practices_country_check check (country ~ '^[A-Z]{2}$'),
  constraint practices_timezone_check check (private.is_time_zone(timezone)),
  constraint practices_currency_check check (private.is_currency(currency)),
  constraint practices_tax_rate_bp_check check (tax_rate_bp between 0 and 10000),
  constraint practices_invoice_due_days_check check (invoice_due_days between 0 and 365),
  constraint practices_tax_scheme_check check (tax_scheme in ('own_rate', 'registered', 'exempt')),
  constraint practices_auto_charge_check check (auto_charge in ('off', 'booking', 'session')),
  constraint practices_text_lengths_check check (
    coalesce(char_length(legal_name), 0) <= 200 and coalesce(char_length(tax_id), 0) <= 40
    and coalesce(char_length(email), 0) <= 320 and coalesce(char_length(phone), 0) <= 40
    and coalesce(char_length(address), 0) <= 500
  ),
  constraint practices_metadata_check check (jsonb_typeof(metadata) = 'object')
);
comment on table public.practices is 'The legal entity that issues documents and receives money. Made with each coach; coaches may share one.';
comment on column public.practices.tax_rate_bp is 'Tax put on new documents, in basis points (1800 is 18 %). A document keeps the rate it was made with.';
comment on column public.practices.tax_scheme is
  'own_rate: plain invoices, receipts and credit notes at tax_rate_bp. registered: the dated rate of the country, and its tax documents. exempt: no tax, receipts only.';
comment on column public.practices.prices_include_tax is 'Whether the prices on new documents have the tax in them already.';
comment on column public.practices.documents_elsewhere is
  'The legal documents are made in another system: Loom gives no numbers and makes no receipts, only notes the numbers of others.';
comment on column public.practices.auto_charge is
  'When the kept cards of clients who consented are charged by themselves: never (off), when a seat is booked, or after the session. Templates may say otherwise.';

revoke all on public.practices from public, anon, authenticated, service_role;
grant select on public.practices to authenticated;
grant update (
  name, legal_name, tax_id, email, phone, address, country, timezone, language, currency, tax_rate_bp, invoice_due_days,
  tax_scheme, prices_include_tax, documents_elsewhere, auto_charge
) on public.practices to authenticated;
grant select, insert, update, delete on public.practices to service_role;
alter table public.practices enable row level security;

drop trigger if exists practices_touch on public.practices;
create trigger practices_touch before update on public.practices
for each row execute function private.touch_updated_at();

create table if not exists public.practice_members (
  id uuid primary key default gen_random_uuid(),
  practice_id uuid not null references public.practices (id) on delete cascade,
  user_id uuid not null unique references public.users (id) on delete cascade,
  role text not null default 'owner',
  created_at timestamptz not null default now(),
  updated_at timestamptz not null default now(),
  constraint practice_members_role_check check (role in ('owner', 'coach'))
);
comment on table public.practice_members is 'Which practice a coach works in: one each. An owner changes the practice''s settings.';
create index if not exists practice_members_practice_id_idx on public.practice_members (practice_id);

revoke all on public.practice_members from public, anon, authenticated, service_role;
grant select on public.practice_members to authenticated;
grant select, insert, update, delete on public.practice_members to service_role;
alter table public.practice_members enable row level security;

drop trigger if exists practice_members_touch on public.practice_members;
create trigger practice_members_touch before update on public.practice_members
for each row execute function private.touch_updated_at();

create or replace function private.my_practice_ids()
returns uuid[]
language sql
stable
security definer
set search_path = ''
as $$
  select coalesce(array_agg(m.practice_id), '{}') from public.practice_members as m where m.user_id = private.me()
$$;
comment on function private.my_practice_ids() is
  'security definer: policies of practice_members call it. The practices the active user works in.';
revoke execute on function private.my_practice_ids() from public, anon, authenticated, service_role;
grant execute on function private.my_practice_ids() to authenticated, service_role;

create or replace function private.my_owned_practice_ids()
returns uuid[]
language sql
stable
security definer
set search_path = ''
as $$
  select coalesce(array_agg(m.practice_id), '{}')
  from public.practice_members as m
  where m.user_id = private.me() and m.role = 'owner'
$$;
comment on function private.my_owned_practice_ids() is
  'security definer: policies of practices call it. The practices whose settings the active user may change.';
revoke execute on function private.my_owned_practice_ids() from public, anon, authenticated, service_role;
grant execute on function private.my_owned_practice_ids() to authenticated, service_role;

drop policy if exists practices_select_member on public.practices;
create policy practices_select_member on public.practices for select to authenticated
using (id = any ((select private.my_practice_ids())::uuid[]) or (select private.i_am_admin()));
comment on policy practices_select_member on public.practices is 'A practice''s people, and an admin, read it.';

drop policy if exists practices_update_owner on public.practices;
create policy practices_update_owner on public.practices for update to authenticated
using (id = any ((select private.my_owned_practice_ids())::uuid[]))
with check (id = any ((select private.my_owned_practice_ids())::uuid[]));
comment on policy practices_update_owner on public.practices is 'Its owners change its settings.';

drop policy if exists practice_members_select_member on public.practice_members;
create policy practice_members_select_member on public.practice_members for select to authenticated
using (practice_id = any ((select private.my_practice_ids())::uuid[]) or (select private.i_am_admin()));
comment on policy practice_members_select_member on public.practice_members is 'A practice''s people, and an admin, read who works in it.';
