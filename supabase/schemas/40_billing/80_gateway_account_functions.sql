create or replace function public.add_gateway_account(p_provider text, p_display_name text, p_webhook_token_hash text,
  p_api_key text, p_webhook_secret text, p_external_id text default null, p_public_key text default null,
  p_is_live boolean default false, p_webhook_token text default null, p_options jsonb default '{}') returns uuid
  language plpgsql security definer set search_path = '' as $$
declare
  v_practice_id uuid := (select m.practice_id from public.practice_members m where m.user_id = private.me() and m.role = 'owner');
  v_id uuid;
begin
  if v_practice_id is null then perform private.fail(404, 'not_found', 'There is no such thing here.'); end if;
  perform from public.practices p where p.id = v_practice_id for no key update;
  insert into public.gateway_accounts (practice_id, provider, display_name, external_id, public_key, is_live, webhook_token_hash,
    metadata, created_by, is_default)
  values (v_practice_id, p_provider, p_display_name, p_external_id, p_public_key, p_is_live, p_webhook_token_hash,
    coalesce(p_options, '{}'), private.me(),
    not exists (select from public.gateway_accounts g where g.practice_id = v_practice_id and g.is_default and g.disabled_at is null))
  returning id into v_id;
  insert into private.gateway_secrets (account_id, api_key, webhook_secret, webhook_token)
  values (v_id, nullif(p_api_key, ''), nullif(p_webhook_secret, ''), nullif(p_webhook_token, ''));
  return v_id;
end $$;
comment on function public.add_gateway_account(text, text, text, text, text, text, text, boolean, text, jsonb) is
  'security definer: writes secrets that nobody may read. The owner of a practice ties it to a gateway; the first one is the default.';

create or replace function public.disable_gateway_account(p_account_id uuid) returns void
  language plpgsql security definer set search_path = '' as $$
begin
  update public.gateway_accounts set disabled_at = coalesce(disabled_at, now()), is_default = false
  where id = p_account_id and practice_id in (select m.practice_id from public.practice_members m
    where m.user_id = private.me() and m.role = 'owner');
  if not found then perform private.fail(404, 'not_found', 'There is no such thing here.'); end if;
end $$;
comment on function public.disable_gateway_account(uuid) is
  'security definer: the owner of a practice takes no new payments through this account. Events and refunds of old ones still work.';

create or replace function public.payment_gateway_of(p_practice_id uuid) returns uuid
  language plpgsql stable security definer set search_path = '' as $$
declare
  v_id uuid;
begin
  if not coalesce(p_practice_id = any (private.my_practice_ids()), false) and not exists (
       select from public.coach_clients c join public.practice_members m on m.user_id = c.coach_id
       where m.practice_id = p_practice_id and c.client_id = private.me() and c.status = 'active') then
    perform private.fail(404, 'not_found', 'There is no such thing here.');
  end if;
  select g.id into v_id from public.gateway_accounts g where g.practice_id = p_practice_id and g.disabled_at is null
    order by g.is_default desc, g.created_at, g.id limit 1;
  if v_id is null then
    perform private.fail(409, 'no_gateway', 'The practice takes no card payments yet.', 'Pay in another way, or ask the coach.');
  end if;
  return v_id;
end $$;
comment on function public.payment_gateway_of(uuid) is
  'security definer: clients see no gateway accounts. Tells a practice''s people and its clients where cards are kept.';

revoke execute on function public.payment_gateway_of(uuid) from public, anon, authenticated, service_role;
grant execute on function public.payment_gateway_of(uuid) to authenticated;
revoke execute on function public.add_gateway_account(text, text, text, text, text, text, text, boolean, text, jsonb),
  public.disable_gateway_account(uuid) from public, anon, authenticated, service_role;
grant execute on function public.add_gateway_account(text, text, text, text, text, text, text, boolean, text, jsonb),
  public.disable_gateway_account(uuid) to authenticated;

create or replace function public.set_webhook_secret(p_account_id uuid, p_secret text) returns void
  language sql security definer set search_path = '' as $$
  update private.gateway_secrets set
    -- What was signed before the change is still on its way.
    previous_webhook_secret = webhook_secret, webhook_secret = nullif(p_secret, '')
  where account_id = p_account_id
$$;
comment on function public.set_webhook_secret(uuid, text) is
  'security definer: writes secrets that nobody may read. The gateway has told what it signs the account''s events with; the one before still holds.';
revoke execute on function public.set_webhook_secret(uuid, text) from public, anon, authenticated, service_role;
grant execute on function public.set_webhook_secret(uuid, text) to service_role;
