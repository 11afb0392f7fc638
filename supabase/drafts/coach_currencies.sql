-- A profile names a currency only if somebody touched it: 75.00 USD is what every new one said.
insert into private.adoption_decisions (kind, key, value)
select 'coach.currency', p.coach_id::text, upper(p.currency)
from public.coach_profiles as p
where private.is_currency(upper(p.currency)) and (upper(p.currency), p.session_rate) <> ('USD', 75.00)
on conflict (kind, key) do nothing
