-- Ways to pay that a person saved. Card numbers are never here: only what the gateway calls the card.
create table if not exists public.payment_methods (
  id uuid primary key default gen_random_uuid(),
  user_id uuid not null references public.users (id) on delete cascade,
  type public.payment_method_type not null,
  provider text not null,
  provider_method_id text,
  last4 text,
  exp_month integer check (exp_month between 1 and 12),
  exp_year integer,
  brand text,
  is_default boolean not null default false,
  metadata jsonb not null default '{}'::jsonb,
  created_at timestamptz not null default now(),
  updated_at timestamptz not null default now(),
  practice_id uuid references public.practices (id) on delete restrict,
  gateway_account_id uuid references public.gateway_accounts (id) on delete restrict,
  detached_at timestamptz,
  provider_customer_id text,
  consented_at timestamptz,
  consent_text text,
  off_session boolean not null default false,
  unusable_at timestamptz,
  unusable_reason text,
  unique (user_id, provider, provider_method_id),
  constraint payment_methods_last4_digits check (last4 ~ '^[0-9]{4}$'),
  constraint payment_methods_exp_year_sane check (exp_year between 2000 and 2200),
  constraint payment_methods_unusable_why check ((unusable_at is null) = (unusable_reason is null)),
  constraint payment_methods_metadata_object check (jsonb_typeof(metadata) = 'object')
);
comment on table public.payment_methods is 'Saved ways to pay of a person, at one gateway account each.';
comment on column public.payment_methods.provider_method_id is 'The gateway''s token for it. API roles cannot read it.';
comment on column public.payment_methods.off_session is 'Its owner consented, in the words of consent_text, to being charged while away.';
comment on column public.payment_methods.detached_at is 'Set when its owner removed it; the row stays, since payments name it.';
comment on column public.payment_methods.unusable_at is
  'Since when it is not charged any more, because its issuer said so for good or its month is over. Saved again, or renewed, it is usable.';
comment on column public.payment_methods.unusable_reason is 'The code of the decline, or expired_card.';

create unique index if not exists payment_methods_nameless_once
  on public.payment_methods (user_id, provider, type) where provider_method_id is null and detached_at is null;
create unique index if not exists payment_methods_one_default
  on public.payment_methods (user_id) where is_default and detached_at is null;
create index if not exists payment_methods_practice_idx on public.payment_methods (practice_id);
create index if not exists payment_methods_gateway_account_idx on public.payment_methods (gateway_account_id);

revoke all on public.payment_methods from public, anon, authenticated, service_role;
grant select, insert, update on public.payment_methods to service_role;
grant select (id, user_id, type, provider, last4, exp_month, exp_year, brand, is_default, created_at, updated_at, practice_id,
  gateway_account_id, detached_at, consented_at, consent_text, off_session, unusable_at, unusable_reason) on public.payment_methods to authenticated;
grant update (is_default, detached_at, off_session) on public.payment_methods to authenticated;

alter table public.payment_methods enable row level security;
drop policy if exists payment_methods_select_owner on public.payment_methods;
create policy payment_methods_select_owner on public.payment_methods for select to authenticated
  using (user_id = (select private.me()));
comment on policy payment_methods_select_owner on public.payment_methods is 'A person sees the person''s own ways to pay.';
drop policy if exists payment_methods_select_practice on public.payment_methods;
create policy payment_methods_select_practice on public.payment_methods for select to authenticated
  using (practice_id = any ((select private.my_practice_ids())::uuid[]));
comment on policy payment_methods_select_practice on public.payment_methods is
  'The people of a practice see brand and last digits of what was saved with the practice''s own gateway account.';
drop policy if exists payment_methods_select_admin on public.payment_methods;
create policy payment_methods_select_admin on public.payment_methods for select to authenticated
  using ((select private.i_am_admin()));
comment on policy payment_methods_select_admin on public.payment_methods is 'An admin sees every saved way to pay, without tokens.';
drop policy if exists payment_methods_update_owner on public.payment_methods;
create policy payment_methods_update_owner on public.payment_methods for update to authenticated
  using (user_id = (select private.me())) with check (user_id = (select private.me()));
comment on policy payment_methods_update_owner on public.payment_methods is 'Its owner may make it the default or remove it; nothing else is granted.';

create or replace function private.keep_payment_method() returns trigger
  language plpgsql security definer set search_path = '' as $$
begin
  if tg_op = 'INSERT' and new.gateway_account_id is not null then
    new.practice_id := (select g.practice_id from public.gateway_accounts g where g.id = new.gateway_account_id);
  end if;
  if tg_op = 'UPDATE' then
    if new.off_session and not old.off_session and private.acting_as_api() then
      perform private.fail(409, 'consent_needed', 'Consent is given with its words, when a card is kept.', 'Save the card again.');
    end if;
    if old.detached_at is not null and new.detached_at is distinct from old.detached_at and private.acting_as_api() then
      perform private.fail(409, 'method_detached', 'A way to pay that was removed does not come back.', 'Save it again.');
    end if;
    if new.detached_at is not null and old.detached_at is null then
      new.detached_at := case when private.acting_as_api() then now() else new.detached_at end;
      perform private.enqueue('billing.detach_method', jsonb_build_object('method_id', new.id));
    end if;
  end if;
  if new.detached_at is not null then new.is_default := false; end if;
  if new.is_default then
    update public.payment_methods set is_default = false
    where user_id = new.user_id and id <> new.id and is_default;
  end if;
  return new;
end $$;
comment on function private.keep_payment_method() is
  'security definer: reads the account''s practice, keeps one default per person, and has a removed method detached at the gateway.';
revoke execute on function private.keep_payment_method() from public, anon, authenticated, service_role;
drop trigger if exists payment_methods_keep on public.payment_methods;
create trigger payment_methods_keep before insert or update on public.payment_methods
  for each row execute function private.keep_payment_method();
drop trigger if exists payment_methods_touch on public.payment_methods;
create trigger payment_methods_touch before update on public.payment_methods
  for each row execute function private.touch_updated_at();
