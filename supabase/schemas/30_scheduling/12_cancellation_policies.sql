-- What a cancellation or a missed session costs: a coach's rule for everything, and others for single templates.

create table if not exists public.cancellation_policies (
  id uuid primary key default gen_random_uuid(),
  coach_id uuid not null references public.users (id) on delete cascade,
  template_id uuid references public.session_templates (id) on delete cascade,
  tiers jsonb not null default '[]'::jsonb,
  currency text,
  free_moves integer,
  late_moves text not null default 'refuse',
  created_at timestamptz not null default now(),
  updated_at timestamptz not null default now(),
  constraint cancellation_policies_one_each unique nulls not distinct (coach_id, template_id),
  constraint cancellation_policies_free_moves_range check (free_moves between 0 and 100),
  constraint cancellation_policies_late_moves check (late_moves in ('refuse', 'charge')),
  constraint cancellation_policies_currency_code check (currency is null or private.is_currency(currency))
);
comment on table public.cancellation_policies is
  'What a late cancellation, a late move and a missed session cost, by coach (template_id null) and by template. A seat keeps the terms it was made with.';
comment on column public.cancellation_policies.tiers is
  '[{"hours": 48, "percent": 50}, {"hours": 24, "forfeit": true}]: with less than so many hours of elapsed time before the start. One of percent, fee_cents and forfeit each; hours 0 is for missing the session.';
comment on column public.cancellation_policies.currency is 'Of fee_cents; null where no tier is a fee.';
comment on column public.cancellation_policies.free_moves is 'How often a client may move one session; null is as often as they like.';
comment on column public.cancellation_policies.late_moves is
  'Whether a client''s move that is as late as a tier is refused, or allowed at the price of the tier.';

create index if not exists cancellation_policies_template_idx on public.cancellation_policies (template_id);

revoke all on public.cancellation_policies from public, anon, authenticated, service_role;
grant select, insert, update, delete on public.cancellation_policies to service_role;
grant select, delete on public.cancellation_policies to authenticated;
grant insert (coach_id, template_id, tiers, currency, free_moves, late_moves) on public.cancellation_policies to authenticated;
grant update (tiers, currency, free_moves, late_moves) on public.cancellation_policies to authenticated;

alter table public.cancellation_policies enable row level security;

drop policy if exists cancellation_policies_select_people on public.cancellation_policies;
create policy cancellation_policies_select_people on public.cancellation_policies for select to authenticated
  using ((select private.me()) is not null);
comment on policy cancellation_policies_select_people on public.cancellation_policies is
  'Everybody signed in reads what a cancellation would cost before they book.';

drop policy if exists cancellation_policies_insert_coach on public.cancellation_policies;
create policy cancellation_policies_insert_coach on public.cancellation_policies for insert to authenticated
  with check (coach_id = (select private.me()) and (select private.i_am_coach()));
comment on policy cancellation_policies_insert_coach on public.cancellation_policies is 'A coach makes policies of their own.';

drop policy if exists cancellation_policies_update_coach on public.cancellation_policies;
create policy cancellation_policies_update_coach on public.cancellation_policies for update to authenticated
  using (coach_id = (select private.me()))
  with check (coach_id = (select private.me()));
comment on policy cancellation_policies_update_coach on public.cancellation_policies is
  'A coach changes policies of their own; what is booked keeps its terms.';

drop policy if exists cancellation_policies_delete_coach on public.cancellation_policies;
create policy cancellation_policies_delete_coach on public.cancellation_policies for delete to authenticated
  using (coach_id = (select private.me()));
comment on policy cancellation_policies_delete_coach on public.cancellation_policies is 'A coach removes policies of their own.';

drop trigger if exists cancellation_policies_touch on public.cancellation_policies;
create trigger cancellation_policies_touch before update on public.cancellation_policies
  for each row execute function private.touch_updated_at();

create or replace function private.tier_problem(p_tier jsonb)
returns text
language sql
immutable
security invoker
set search_path = ''
as $$
  -- The types are looked at before the values: a case stops at the first that holds, so that nothing fails to cast.
  select case
    when jsonb_typeof(p_tier) is distinct from 'object' or jsonb_typeof(p_tier -> 'hours') is distinct from 'number' then
      'Each tier says from how many hours before the start it holds.'
    when (p_tier ->> 'hours')::numeric not between 0 and 8760 or (p_tier ->> 'hours')::numeric % 1 <> 0 then
      'The hours of a tier are whole, from 0 to 8760.'
    when (select count(*) from jsonb_object_keys(p_tier)) <> 2 or not (p_tier ?| array['percent', 'fee_cents', 'forfeit']) then
      'Each tier has its hours and one of percent, fee_cents and forfeit.'
    when p_tier ? 'forfeit' and p_tier -> 'forfeit' <> 'true'::jsonb then 'A tier that forfeits nothing is left out.'
    when p_tier ? 'percent' and jsonb_typeof(p_tier -> 'percent') <> 'number' then 'A percentage is a whole number from 1 to 100.'
    when p_tier ? 'percent' and ((p_tier ->> 'percent')::numeric not between 1 and 100 or (p_tier ->> 'percent')::numeric % 1 <> 0)
      then 'A percentage is a whole number from 1 to 100.'
    when p_tier ? 'fee_cents' and jsonb_typeof(p_tier -> 'fee_cents') <> 'number' then 'A fee is 1 or more minor units.'
    when p_tier ? 'fee_cents'
      and ((p_tier ->> 'fee_cents')::numeric not between 1 and 2147483647 or (p_tier ->> 'fee_cents')::numeric % 1 <> 0)
      then 'A fee is 1 or more minor units.'
  end;
$$;
revoke execute on function private.tier_problem(jsonb) from public, anon, authenticated, service_role;
comment on function private.tier_problem(jsonb) is 'What is wrong with one tier of a cancellation policy by itself; null when nothing is.';

create or replace function private.tiers_contradict(p_tiers jsonb)
returns boolean
language sql
immutable
security invoker
set search_path = ''
as $$
  -- A fee and a percentage cannot be compared before there is a price, so a policy has one kind; forfeiting is all of it.
  with tier as (
    select
      (t ->> 'hours')::integer as hours, t ? 'fee_cents' as is_fee,
      coalesce((t ->> 'percent')::bigint, (t ->> 'fee_cents')::bigint, 9223372036854775807) as cost,
      t ? 'percent' as is_percent
    from jsonb_array_elements(p_tiers) as t
  ), ordered as (
    select hours, is_fee, is_percent, cost, lag(hours) over w as earlier, lag(cost) over w as cheaper
    from tier
    window w as (order by hours desc)
  )
  select coalesce(bool_or(hours = earlier or cost < cheaper) or (bool_or(is_fee) and bool_or(is_percent)), false) from ordered;
$$;
revoke execute on function private.tiers_contradict(jsonb) from public, anon, authenticated, service_role;
comment on function private.tiers_contradict(jsonb) is
  'Whether tiers name the same hours twice, get cheaper towards the start, or mix fees with percentages.';

create or replace function private.guard_cancellation_policy()
returns trigger
language plpgsql
security definer
set search_path = ''
as $$
declare
  v_template public.session_templates;
  v_problem text;
begin
  if jsonb_typeof(new.tiers) is distinct from 'array' or jsonb_array_length(new.tiers) > 10 then
    perform private.fail(422, 'policy_invalid', 'A policy is a list of at most 10 tiers.');
  end if;
  select private.tier_problem(t) into v_problem
  from jsonb_array_elements(new.tiers) as t where private.tier_problem(t) is not null limit 1;
  if v_problem is not null then
    perform private.fail(422, 'policy_invalid', v_problem);
  elsif private.tiers_contradict(new.tiers) then
    perform private.fail(422, 'policy_contradictory', 'The policy contradicts itself.',
      'Each tier has hours of its own, costs no less than an earlier one, and all are percentages or all are fees.');
  elsif new.currency is null and new.tiers @? '$[*].fee_cents' then
    perform private.fail(422, 'policy_invalid', 'A fee needs a currency.');
  end if;
  if new.template_id is not null then
    select * into v_template from public.session_templates where id = new.template_id;
    if v_template.id is null or v_template.coach_id is distinct from new.coach_id then
      perform private.fail(404, 'not_found', 'There is no such thing, or it is not yours.');
    elsif new.currency <> v_template.currency then
      perform private.fail(422, 'currency_mismatch', 'The fee is in another currency than the template''s price.');
    end if;
  end if;
  new.tiers := (select coalesce(jsonb_agg(t order by (t ->> 'hours')::integer desc), '[]') from jsonb_array_elements(new.tiers) as t);
  return new;
end;
$$;
revoke execute on function private.guard_cancellation_policy() from public, anon, authenticated, service_role;
comment on function private.guard_cancellation_policy() is
  'security definer: reads the template whoever writes. Trigger: refuses a policy that is not one or contradicts itself; sorts its tiers.';

drop trigger if exists cancellation_policies_guard on public.cancellation_policies;
create trigger cancellation_policies_guard before insert or update on public.cancellation_policies
  for each row execute function private.guard_cancellation_policy();
