-- What an older application can write to sessions, payments and people at one moment of an adoption. Each statement is a
-- transaction of its own, changes something, and says the same before and after the column of the status is another.

-- A session that is booked and paid.
insert into public.sessions (id, coach_id, client_id, title, scheduled_at)
values (pg_temp.id('booked'), pg_temp.id('coach'), pg_temp.id('client'), 'booked', '2040-01-01 08:00+00');
insert into public.payments (id, user_id, amount_cents, currency, status, metadata)
values (pg_temp.id('for booked'), pg_temp.id('client'), 777, 'USD', 'paid', jsonb_build_object('sessionId', pg_temp.id('booked')));
-- One whose payment was there before it.
insert into public.sessions (id, coach_id, client_id, title, scheduled_at)
values (pg_temp.id('comes later'), pg_temp.id('coach'), pg_temp.id('client'), 'comes later', '2040-01-01 10:00+00');

-- Old sessions that are paid, or are not any more.
update public.sessions set status = 'cancelled' where id = pg_temp.id('cancelled');
insert into public.payments (id, user_id, amount_cents, currency, status, metadata)
values (pg_temp.id('for paid late'), pg_temp.id('client'), 778, 'USD', 'pending', jsonb_build_object('session_id', pg_temp.id('paid late')));
update public.payments set status = 'paid' where id = pg_temp.id('for paid late');
update public.payments set status = 'paid' where id = pg_temp.id('for paid by name');
update public.payments set status = 'refunded' where id = pg_temp.id('for refunded');
delete from public.payments where id = pg_temp.id('for payment deleted');
update public.payments set status = 'paid' where id = pg_temp.id('for paid again');
insert into public.payments (id, user_id, amount_cents, currency, status, metadata)
values (pg_temp.id('again'), pg_temp.id('client'), 779, 'ILS', 'paid', jsonb_build_object('session_id', pg_temp.id('other currency')));
insert into public.payments (id, user_id, amount_cents, currency, status, metadata)
values (pg_temp.id('and again'), pg_temp.id('client'), 780, 'USD', 'paid', jsonb_build_object('session_id', pg_temp.id('paid twice')));

-- Links that lead elsewhere, or nowhere.
update public.sessions set client_id = pg_temp.id('other') where id = pg_temp.id('moved');
update public.payments set user_id = pg_temp.id('other') where id = pg_temp.id('for payer changed');
update public.payments set metadata = metadata || jsonb_build_object('session_id', pg_temp.id('renamed to')) where id = pg_temp.id('for renamed');
delete from public.sessions where id = pg_temp.id('deleted');

-- People.
delete from public.users where id = pg_temp.id('leaves');
update public.users set timezone = 'Etc/Unknown' where id = pg_temp.id('far away');
update public.users set timezone = 'Asia/Tokyo' where id = pg_temp.id('also far');
insert into auth.users (id, email) values (pg_temp.id('signs up'), format('%s@example.test', pg_temp.id('signs up')));

-- A coach who was not there, with a session that is paid.
insert into auth.users (id, email, raw_user_meta_data)
values (pg_temp.id('new coach'), format('%s@example.test', pg_temp.id('new coach')), '{"role": "coach"}');
insert into public.sessions (id, coach_id, client_id, title, scheduled_at)
values (pg_temp.id('with the new coach'), pg_temp.id('new coach'), pg_temp.id('signs up'), 'with the new coach', '2040-01-01 08:00+00');
insert into public.payments (id, user_id, amount_cents, currency, status, metadata)
values (pg_temp.id('for the new coach'), pg_temp.id('signs up'), 781, 'EUR', 'paid', jsonb_build_object('session_id', pg_temp.id('with the new coach')));
