-- The terms that a policy comes down to for one seat, and what they cost at a moment.

create or replace function private.terms_in_force(p_coach_id uuid, p_template_id uuid)
returns jsonb
language sql
stable
security definer
set search_path = ''
as $$
  -- The template's own policy, else the coach's for everything.
  select jsonb_build_object(
    'tiers', p.tiers, 'currency', p.currency, 'free_moves', p.free_moves, 'late_moves', p.late_moves)
  from public.cancellation_policies as p
  where p.coach_id = p_coach_id and (p.template_id is null or p.template_id = p_template_id)
  order by p.template_id nulls last
  limit 1;
$$;
revoke execute on function private.terms_in_force(uuid, uuid) from public, anon, authenticated, service_role;
comment on function private.terms_in_force(uuid, uuid) is
  'security definer: called by triggers of definer functions. The terms that a seat of a coach''s template gets now; null where there is no policy.';

create or replace function private.terms_cost(
  p_terms jsonb, p_notice interval, p_price_cents integer, p_currency text,
  out amount_cents integer, out currency text, out forfeits boolean, out tier jsonb
)
language plpgsql
immutable
security invoker
set search_path = ''
as $$
begin
  currency := p_currency;
  -- Elapsed hours: on a day with a clock change, "24 hours before" is not the same time of the clock.
  select t into tier
  from jsonb_array_elements(p_terms -> 'tiers') as t
  where extract(epoch from p_notice) < (t ->> 'hours')::integer * 3600
  order by (t ->> 'hours')::integer
  limit 1;
  forfeits := coalesce(tier ? 'forfeit', false);
  if tier is null then
    amount_cents := 0;
  elsif forfeits then
    amount_cents := p_price_cents;
  elsif tier ? 'percent' then
    amount_cents := (p_price_cents::bigint * (tier ->> 'percent')::integer + 50) / 100;
  else
    -- Nobody owes more for not coming than for coming.
    amount_cents := case
      when p_terms ->> 'currency' = p_currency then least((tier ->> 'fee_cents')::integer, p_price_cents)
      else (tier ->> 'fee_cents')::integer
    end;
    currency := p_terms ->> 'currency';
  end if;
end;
$$;
revoke execute on function private.terms_cost(jsonb, interval, integer, text) from public, anon, authenticated, service_role;
comment on function private.terms_cost(jsonb, interval, integer, text) is
  'What giving up a seat so long before its start costs under its terms; a negative notice is a missed session. The amount is null where the price of the seat is not decided.';

create or replace function public.cancellation_terms(p_template_id uuid)
returns jsonb
language plpgsql
stable
security definer
set search_path = ''
as $$
declare
  v_template public.session_templates;
begin
  select * into v_template from public.session_templates as t
  where t.id = p_template_id and private.me() is not null and (t.is_active or t.coach_id = private.me());
  if v_template.id is null then
    perform private.fail(404, 'not_found', 'There is no such thing, or it is not yours.');
  end if;
  return coalesce(
    private.terms_in_force(v_template.coach_id, v_template.id),
    jsonb_build_object('tiers', '[]'::jsonb, 'currency', null, 'free_moves', null, 'late_moves', 'refuse'));
end;
$$;
revoke execute on function public.cancellation_terms(uuid) from public, anon, authenticated, service_role;
grant execute on function public.cancellation_terms(uuid) to authenticated;
comment on function public.cancellation_terms(uuid) is
  'security definer: shares terms_in_force with booking, so that what is shown is what is frozen. The terms that a booking from a template would get now.';
