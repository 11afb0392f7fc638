-- The keeping of a card: the wish is there before the gateway is asked, with what its owner agreed to.
create table if not exists public.payment_method_setups (
  id uuid primary key default gen_random_uuid(),
  user_id uuid not null references public.users (id) on delete cascade,
  practice_id uuid not null references public.practices (id) on delete restrict,
  gateway_account_id uuid not null references public.gateway_accounts (id) on delete restrict,
  status public.payment_intent_status not null default 'requires_payment_method',
  consent_text text not null,
  off_session boolean not null default false,
  is_default boolean not null default false,
  customer_id text,
  provider_setup_id text,
  provider_checkout_id text,
  payment_method_id uuid references public.payment_methods (id) on delete set null,
  next_action jsonb,
  last_error_code text,
  last_error_message text,
  next_check_at timestamptz,
  check_attempts integer not null default 0,
  created_at timestamptz not null default now(),
  updated_at timestamptz not null default now(),
  constraint payment_method_setups_consent_length check (char_length(consent_text) between 1 and 1000)
);
comment on table public.payment_method_setups is
  'Wishes to keep a card, each with the consent that was given. A setup that succeeded names the saved way to pay.';
comment on column public.payment_method_setups.off_session is 'Its owner agreed that the practice charges it while the owner is away.';
comment on column public.payment_method_setups.customer_id is 'Whom the gateway keeps cards for; the same for all setups of a person at one account.';

create index if not exists payment_method_setups_user_idx on public.payment_method_setups (user_id, created_at desc);
create index if not exists payment_method_setups_practice_idx on public.payment_method_setups (practice_id);
create index if not exists payment_method_setups_account_idx on public.payment_method_setups (gateway_account_id, user_id);
create index if not exists payment_method_setups_method_idx on public.payment_method_setups (payment_method_id);
create index if not exists payment_method_setups_due_idx on public.payment_method_setups (next_check_at) where next_check_at is not null;

revoke all on public.payment_method_setups from public, anon, authenticated, service_role;
grant select, update on public.payment_method_setups to service_role;
grant select (id, user_id, practice_id, status, consent_text, off_session, is_default, payment_method_id, next_action, last_error_code,
  last_error_message, created_at, updated_at) on public.payment_method_setups to authenticated;

alter table public.payment_method_setups enable row level security;
drop policy if exists payment_method_setups_select_owner on public.payment_method_setups;
create policy payment_method_setups_select_owner on public.payment_method_setups for select to authenticated
  using (user_id = (select private.me()));
comment on policy payment_method_setups_select_owner on public.payment_method_setups is 'A person sees the person''s own wishes and consents.';

drop trigger if exists payment_method_setups_touch on public.payment_method_setups;
create trigger payment_method_setups_touch before update on public.payment_method_setups
  for each row execute function private.touch_updated_at();

create or replace function public.begin_method_setup(p_practice_id uuid, p_consent_text text, p_off_session boolean default false,
  p_is_default boolean default false) returns uuid
  language plpgsql security definer set search_path = '' as $$
declare
  v_account constant uuid := public.payment_gateway_of(p_practice_id);
  v_id uuid;
begin
  insert into public.payment_method_setups (user_id, practice_id, gateway_account_id, consent_text, off_session, is_default, next_check_at,
    customer_id)
  values (private.me(), p_practice_id, v_account, coalesce(btrim(p_consent_text), ''), p_off_session, p_is_default,
    now() + private.check_backoff(0),
    (select s.customer_id from public.payment_method_setups s where s.gateway_account_id = v_account and s.user_id = private.me()
       and s.customer_id is not null order by s.created_at desc limit 1))
  returning id into v_id;
  return v_id;
end $$;
comment on function public.begin_method_setup(uuid, text, boolean, boolean) is
  'security definer: a client of a practice wishes to keep a card with it, and consents to a text. Returns the setup, before the gateway is asked.';

create or replace function public.record_method_setup(p_setup_id uuid, p_snapshot jsonb) returns text
  language plpgsql security definer set search_path = '' as $$
declare
  v_setup public.payment_method_setups;
  v_saved constant jsonb := nullif(p_snapshot -> 'saved', 'null'::jsonb);
  v_status constant public.payment_intent_status := p_snapshot ->> 'status';
  v_method uuid;
begin
  select * into v_setup from public.payment_method_setups s where s.id = p_setup_id for no key update;
  if not found then perform private.fail(404, 'not_found', 'There is no such thing here.'); end if;
  if v_setup.status in ('succeeded', 'canceled') and v_status <> 'succeeded' or v_setup.payment_method_id is not null then return 'unchanged'; end if;
  if v_saved is not null then
    insert into public.payment_methods as m (user_id, type, provider, provider_method_id, last4, exp_month, exp_year, brand, is_default,
      gateway_account_id, provider_customer_id, consented_at, consent_text, off_session)
    select v_setup.user_id, 'credit_card', g.provider, v_saved ->> 'provider_method_id', v_saved ->> 'last4',
      (v_saved ->> 'exp_month')::integer, (v_saved ->> 'exp_year')::integer, v_saved ->> 'brand', v_setup.is_default, g.id,
      v_saved ->> 'customer_id', v_setup.created_at, v_setup.consent_text, v_setup.off_session
    from public.gateway_accounts g where g.id = v_setup.gateway_account_id
    -- The same card given again: with its owner's new consent it is as good as a new one, also after it was removed or refused.
    on conflict (user_id, provider, provider_method_id) do update set consented_at = excluded.consented_at,
      consent_text = excluded.consent_text, off_session = excluded.off_session, exp_month = excluded.exp_month,
      exp_year = excluded.exp_year, is_default = m.is_default or excluded.is_default, detached_at = null, unusable_at = null,
      unusable_reason = null
    returning m.id into v_method;
  end if;
  update public.payment_method_setups set status = v_status, payment_method_id = v_method,
    provider_setup_id = coalesce(p_snapshot ->> 'provider_setup_id', provider_setup_id),
    next_action = nullif(p_snapshot -> 'next_action', 'null'::jsonb), last_error_code = p_snapshot ->> 'error_code',
    last_error_message = left(p_snapshot ->> 'error_message', 500), check_attempts = check_attempts + 1,
    -- A page that nobody fills in is asked about for a day, then left alone.
    next_check_at = case when v_status in ('succeeded', 'canceled') or created_at < now() - interval '1 day' then null
      else now() + private.check_backoff(check_attempts) end
  where id = p_setup_id;
  return 'applied';
end $$;
comment on function public.record_method_setup(uuid, jsonb) is
  'security definer: moves guarded rows for the service. What the gateway says of a setup; once it succeeded the card is a saved way to pay.';

create or replace function public.record_setup_sent(p_setup_id uuid, p_customer_id text, p_checkout_id text default null) returns void
  language sql security definer set search_path = '' as $$
  update public.payment_method_setups set customer_id = coalesce(customer_id, p_customer_id),
    provider_checkout_id = coalesce(p_checkout_id, provider_checkout_id) where id = p_setup_id
$$;
comment on function public.record_setup_sent(uuid, text, text) is
  'security definer: moves guarded rows for the service. Whom the gateway keeps the card for, and the page it opened.';

create or replace function public.record_method_news(p_account_id uuid, p_provider_method_id text, p_snapshot jsonb) returns text
  language plpgsql security definer set search_path = '' as $$
declare
  v_method public.payment_methods;
  v_renewed boolean;
begin
  select * into v_method from public.payment_methods m
    where m.gateway_account_id = p_account_id and m.provider_method_id = p_provider_method_id for no key update;
  if not found then return 'unknown_method'; end if;
  -- One that was removed does not come back, whatever the gateway says of it.
  if v_method.detached_at is not null then return 'unchanged'; end if;
  v_renewed := p_snapshot ->> 'last4' <> v_method.last4 or (p_snapshot ->> 'exp_month')::integer <> v_method.exp_month
    or (p_snapshot ->> 'exp_year')::integer <> v_method.exp_year;
  update public.payment_methods set
    unusable_at = case when v_renewed then null else unusable_at end,
    unusable_reason = case when v_renewed then null else unusable_reason end,
    detached_at = case when p_snapshot is null or p_snapshot = 'null' then now() end,
    brand = coalesce(p_snapshot ->> 'brand', brand), last4 = coalesce(p_snapshot ->> 'last4', last4),
    exp_month = coalesce((p_snapshot ->> 'exp_month')::integer, exp_month),
    exp_year = coalesce((p_snapshot ->> 'exp_year')::integer, exp_year)
  where id = v_method.id;
  return 'applied';
end $$;
comment on function public.record_method_news(uuid, text, jsonb) is
  'security definer: moves guarded rows for the service. How a kept card stands at the gateway: renewed, or (null) removed there. It is never deleted.';

revoke execute on function public.record_method_news(uuid, text, jsonb) from public, anon, authenticated, service_role;
grant execute on function public.record_method_news(uuid, text, jsonb) to service_role;
revoke execute on function public.begin_method_setup(uuid, text, boolean, boolean), public.record_method_setup(uuid, jsonb),
  public.record_setup_sent(uuid, text, text) from public, anon, authenticated, service_role;
grant execute on function public.begin_method_setup(uuid, text, boolean, boolean) to authenticated;
grant execute on function public.record_method_setup(uuid, jsonb), public.record_setup_sent(uuid, text, text) to service_role;
