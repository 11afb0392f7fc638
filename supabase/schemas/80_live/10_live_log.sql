-- What the log of live events knows about itself: one row.

create or replace function private.new_key()
returns bytea
language sql
volatile
security invoker
set search_path = ''
as $$
  -- gen_random_uuid is PostgreSQL's own strong randomness; two of them hold 244 bits. pgcrypto is not everywhere.
  select sha256(uuid_send(gen_random_uuid()) || uuid_send(gen_random_uuid()))
$$;
comment on function private.new_key() is 'A fresh secret of 32 bytes.';
revoke execute on function private.new_key() from public, anon, authenticated, service_role;

create table if not exists private.live_log (
  only_row boolean not null default true primary key,
  epoch text not null,
  key bytea not null default private.new_key(),
  pruned_xid xid8 not null default '0',
  pruned_id bigint not null default 0,
  constraint live_log_only_row_check check (only_row)
);
comment on table private.live_log is 'One row about the log of live events: whose numbers it carries, and how far back it reaches.';
comment on column private.live_log.epoch is
  'The server, its timeline and the database that gave the numbers in the log. A restored copy counts anew, so it starts a new log.';
comment on column private.live_log.key is
  'Seals what the processes of this installation tell one another by NOTIFY, which any database user can hear; tickets of streams; links in mail that switch a kind of mail off.';
comment on column private.live_log.pruned_id is 'With pruned_xid the last event thrown away: a cursor before it must start anew.';

revoke all on private.live_log from public, anon, authenticated, service_role;
grant select on private.live_log to service_role;
alter table private.live_log enable row level security;

create or replace function private.live_epoch()
returns text
language sql
stable
security definer
set search_path = ''
as $$
  select left(md5(concat_ws('/', s.system_identifier, c.timeline_id, d.oid)), 8)
  from pg_control_system() as s
  cross join pg_control_checkpoint() as c
  join pg_database as d on d.datname = current_database()
$$;
comment on function private.live_epoch() is
  'security definer: API roles need not be able to read the control file. Whose transaction numbers these are: another server, a restore to a point in time and another database each have their own.';
revoke execute on function private.live_epoch() from public, anon, authenticated, service_role;

insert into private.live_log (epoch) values (private.live_epoch()) on conflict do nothing;
