-- Rates and thresholds that the law moves: dated data, so that a document is judged by the rule of its own day.
create table if not exists public.tax_rules (
  country text not null,
  rule text not null,
  valid_from date not null,
  value bigint not null,
  source text not null,
  primary key (country, rule, valid_from),
  constraint tax_rules_country_form check (country ~ '^[A-Z]{2}$'),
  constraint tax_rules_rule_known check (rule in ('vat_rate_bp', 'allocation_threshold_cents', 'cash_ceiling_cents', 'exempt_ceiling_cents')),
  constraint tax_rules_value_not_negative check (value >= 0)
);
comment on table public.tax_rules is
  'Tax rates and thresholds by country and day. Facts that people looked up, not advice: whoever answers for a practice checks them.';
comment on column public.tax_rules.rule is
  'vat_rate_bp: the ordinary rate. allocation_threshold_cents: from above this net amount a tax invoice to a registered buyer needs an allocation number. cash_ceiling_cents: cash in a deal of businesses. exempt_ceiling_cents: turnover of a year for exempt dealers.';

insert into public.tax_rules (country, rule, valid_from, value, source) values
  ('IL', 'vat_rate_bp', '2013-06-02', 1800, 'VAT order 2013'),
  ('IL', 'vat_rate_bp', '2015-10-01', 1700, 'VAT order 2015'),
  ('IL', 'vat_rate_bp', '2025-01-01', 1800, 'VAT order 2024'),
  ('IL', 'allocation_threshold_cents', '2024-05-05', 2500000, 'Israel invoices reform'),
  ('IL', 'allocation_threshold_cents', '2025-01-01', 2000000, 'Israel invoices reform'),
  ('IL', 'allocation_threshold_cents', '2026-01-01', 1000000, 'VAT order 01/2025'),
  ('IL', 'allocation_threshold_cents', '2026-06-01', 500000, 'VAT order 01/2025'),
  ('IL', 'cash_ceiling_cents', '2022-08-01', 600000, 'Reduction of the use of cash law'),
  ('IL', 'exempt_ceiling_cents', '2025-01-01', 12000000, 'VAT regulations, yearly'),
  ('IL', 'exempt_ceiling_cents', '2026-01-01', 12283300, 'VAT regulations, yearly, as told by kolzchut.org.il')
on conflict (country, rule, valid_from) do nothing;

revoke all on public.tax_rules from public, anon, authenticated, service_role;
grant select, insert, update, delete on public.tax_rules to service_role;
grant select on public.tax_rules to authenticated;

alter table public.tax_rules enable row level security;
drop policy if exists tax_rules_select_all on public.tax_rules;
create policy tax_rules_select_all on public.tax_rules for select to authenticated
  using ((select private.me()) is not null);
comment on policy tax_rules_select_all on public.tax_rules is 'The law is for everybody with an account to read.';

create or replace function private.tax_rule(p_country text, p_rule text, p_on date) returns bigint
  language sql stable set search_path = '' as $$
  select r.value from public.tax_rules r
  where r.country = p_country and r.rule = p_rule and r.valid_from <= p_on order by r.valid_from desc limit 1
$$;
comment on function private.tax_rule(text, text, date) is 'What a rule of a country says on a day; null where nothing is known.';
revoke execute on function private.tax_rule(text, text, date) from public, anon, authenticated, service_role;
grant execute on function private.tax_rule(text, text, date) to authenticated, service_role;

create or replace function private.rate_of(p_practice public.practices, p_on date) returns integer
  language sql stable set search_path = '' as $$
  select case p_practice.tax_scheme
    when 'exempt' then 0
    when 'registered' then coalesce(private.tax_rule(p_practice.country, 'vat_rate_bp', p_on)::integer, p_practice.tax_rate_bp)
    else p_practice.tax_rate_bp end
$$;
comment on function private.rate_of(public.practices, date) is 'The tax rate that a practice puts on a document of that day, in basis points.';
revoke execute on function private.rate_of(public.practices, date) from public, anon, authenticated, service_role;

create or replace function private.check_rate(p_practice public.practices, p_rate_bp integer, p_on date) returns void
  language plpgsql stable set search_path = '' as $$
begin
  if coalesce(p_rate_bp, 0) = 0 then return; end if;
  if p_practice.tax_scheme = 'exempt' then
    perform private.fail(422, 'tax_not_allowed', 'An exempt practice puts no tax on its documents.');
  elsif p_practice.tax_scheme = 'registered' and p_rate_bp <> private.rate_of(p_practice, p_on) then
    perform private.fail(422, 'tax_rate_unknown', format('On %s the rate is %s basis points.', p_on, private.rate_of(p_practice, p_on)),
      'Use that rate, or 0 for what is not taxed.');
  elsif not exists (select from public.tax_rules r where r.country = p_practice.country and r.rule = 'vat_rate_bp' and r.value = p_rate_bp)
     and exists (select from public.tax_rules r where r.country = p_practice.country and r.rule = 'vat_rate_bp') then
    perform private.fail(422, 'tax_rate_unknown', format('There never was a rate of %s basis points in %s.', p_rate_bp, p_practice.country));
  end if;
end $$;
comment on function private.check_rate(public.practices, integer, date) is
  'Refuses a tax rate that the practice''s scheme or its country does not know. Countries without data take any.';
revoke execute on function private.check_rate(public.practices, integer, date) from public, anon, authenticated, service_role;
