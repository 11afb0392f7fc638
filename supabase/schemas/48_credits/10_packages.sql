-- What a practice sells in advance: so many sessions of a template, good for so long.

create table if not exists public.packages (
  id uuid primary key default gen_random_uuid(),
  practice_id uuid not null references public.practices (id) on delete restrict,
  template_id uuid not null references public.session_templates (id) on delete restrict,
  title text not null,
  sessions integer not null,
  price_cents integer not null,
  currency text not null,
  valid_days integer,
  spent_at text not null default 'booking',
  granted_at text not null default 'payment',
  is_active boolean not null default true,
  created_at timestamptz not null default now(),
  updated_at timestamptz not null default now(),
  constraint packages_title_length check (char_length(btrim(title)) between 1 and 200),
  constraint packages_sessions_range check (sessions between 1 and 1000),
  constraint packages_price_range check (price_cents >= 0),
  constraint packages_currency_code check (private.is_currency(currency)),
  constraint packages_valid_days_range check (valid_days between 1 and 3650),
  constraint packages_spent_at check (spent_at in ('booking', 'attendance')),
  constraint packages_granted_at check (granted_at in ('issue', 'payment'))
);
comment on table public.packages is 'Offers of sessions in advance. What was sold keeps the terms it was sold on.';
comment on column public.packages.sessions is 'How many sessions of the template it is good for.';
comment on column public.packages.price_cents is 'Of the whole package, in minor units of currency.';
comment on column public.packages.valid_days is 'From the day it is granted; null never ends.';
comment on column public.packages.spent_at is 'booking: a seat takes a credit when it is booked. attendance: when its person came, or missed the session at the price of it.';
comment on column public.packages.granted_at is 'issue: the credits are there as soon as the invoice is issued. payment: once it is paid.';
create index if not exists packages_practice_idx on public.packages (practice_id, created_at desc, id desc);
create index if not exists packages_template_idx on public.packages (template_id);

revoke all on public.packages from public, anon, authenticated, service_role;
grant select, insert, update, delete on public.packages to service_role;
grant select on public.packages to authenticated;
grant insert (practice_id, template_id, title, sessions, price_cents, currency, valid_days, spent_at, granted_at, is_active)
  on public.packages to authenticated;
grant update (title, sessions, price_cents, currency, valid_days, spent_at, granted_at, is_active) on public.packages to authenticated;
alter table public.packages enable row level security;

drop policy if exists packages_select_people on public.packages;
create policy packages_select_people on public.packages for select to authenticated
  using (practice_id = any ((select private.my_practice_ids())::uuid[]) or (is_active and (select private.me()) is not null)
    or (select private.i_am_admin()));
comment on policy packages_select_people on public.packages is 'Everybody signed in sees what is on offer; a practice''s people also what was taken off.';
drop policy if exists packages_insert_practice on public.packages;
create policy packages_insert_practice on public.packages for insert to authenticated
  with check (practice_id = any ((select private.my_practice_ids())::uuid[]));
comment on policy packages_insert_practice on public.packages is 'A practice''s people offer packages.';
drop policy if exists packages_update_practice on public.packages;
create policy packages_update_practice on public.packages for update to authenticated
  using (practice_id = any ((select private.my_practice_ids())::uuid[]))
  with check (practice_id = any ((select private.my_practice_ids())::uuid[]));
comment on policy packages_update_practice on public.packages is 'A practice''s people change what they offer.';

create or replace function private.guard_package() returns trigger
  language plpgsql security definer set search_path = '' as $$
begin
  if not exists (select from public.session_templates t join public.practice_members m on m.user_id = t.coach_id
                 where t.id = new.template_id and m.practice_id = new.practice_id) then
    perform private.fail(404, 'not_found', 'There is no such thing here.');
  end if;
  return new;
end $$;
comment on function private.guard_package() is 'security definer: reads templates whoever writes. Trigger: a package is of a template of the practice''s own.';
revoke execute on function private.guard_package() from public, anon, authenticated, service_role;
drop trigger if exists packages_guard on public.packages;
create trigger packages_guard before insert or update of practice_id, template_id on public.packages
  for each row execute function private.guard_package();
drop trigger if exists packages_touch on public.packages;
create trigger packages_touch before update on public.packages for each row execute function private.touch_updated_at();
