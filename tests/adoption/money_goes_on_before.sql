-- For one moment of an adoption: a coach with a currency, clients, and sessions with what was paid for them, as the older
-- application left them. `pg_temp.id(what)` is the id of a thing of that moment.
insert into auth.users (id, email, raw_user_meta_data)
select pg_temp.id(who), format('%s@example.test', pg_temp.id(who)), jsonb_build_object('role', case who when 'coach' then 'coach' else 'client' end)
from unnest(array['coach', 'client', 'other', 'leaves', 'far away', 'also far']) as who;
update public.users as u set timezone = case u.id when pg_temp.id('coach') then 'Europe/Berlin' else 'Mars/Olympus' end
where u.id in (pg_temp.id('coach'), pg_temp.id('also far'));
insert into public.coach_profiles (coach_id, session_rate, currency) values (pg_temp.id('coach'), 100, 'EUR');

insert into public.sessions (id, coach_id, client_id, title, scheduled_at, status)
select pg_temp.id(what), pg_temp.id('coach'), pg_temp.id(case what when 'left' then 'leaves' else 'client' end), what,
  timestamptz '2025-01-01' + make_interval(hours => 2 * number::integer), 'completed'
from unnest(array[
  'cancelled', 'paid late', 'paid by name', 'refunded', 'payment deleted', 'moved', 'deleted', 'paid again', 'other currency',
  'renamed', 'renamed to', 'left', 'paid twice', 'payer changed', 'untouched'
]) with ordinality as s (what, number);
insert into public.payments (id, user_id, amount_cents, currency, status, metadata)
select pg_temp.id('for ' || p.what), pg_temp.id(case p.what when 'left' then 'leaves' else 'client' end), 1000 + p.cents, 'usd', p.status,
  jsonb_build_object('session_id', pg_temp.id(p.what))
from (values
  ('cancelled', 1, 'PAID'), ('paid by name', 2, 'pending'), ('refunded', 3, 'Paid'), ('payment deleted', 4, 'completed'),
  ('moved', 5, 'paid'), ('deleted', 6, 'paid'), ('paid again', 7, 'Refunded'), ('other currency', 8, 'paid'), ('renamed', 9, 'paid'),
  ('left', 10, 'paid'), ('paid twice', 11, 'paid'), ('payer changed', 12, 'paid'), ('untouched', 13, 'captured'),
  ('comes later', 14, 'paid')
) as p (what, cents, status);
