create table if not exists private.adoption_decisions (
  kind text not null,
  key text not null,
  value text not null,
  created_at timestamptz not null default now(),
  primary key (kind, key)
);
comment on table private.adoption_decisions is
  'What a person decided about old data when Loom took over their database, and values that had to be replaced. Read by migrations.';
comment on column private.adoption_decisions.kind is
  'Decided: payments.status and payments.currency, what an unknown one means; coach.currency, from a profile somebody touched. Remembered: users.timezone, notification_preferences.timezone and coach_availability.timezone, the zone a row had that is no IANA name, and time_zone, what such a one became; payments.session, what a payment names without a session of the payer''s; sessions.unbilled, why; sessions.overlap, until when the coach was taken. step, online: how far an adoption in small steps has come.';

revoke all on private.adoption_decisions from public, anon, authenticated, service_role;
grant select on private.adoption_decisions to service_role;
alter table private.adoption_decisions enable row level security;
