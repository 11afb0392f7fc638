-- walks public.sessions
-- When a session ends, the zone it was agreed in, and the currency of its coach. An earlier line of Loom had type, but every
-- session had exactly one client whatever it said.
update public.sessions as s
set
  ends_at = s.scheduled_at + make_interval(mins => s.duration_minutes),
  timezone = coalesce(s.timezone, (select u.timezone from public.users as u where u.id = s.coach_id), 'UTC'),
  type = case when s.client_id is null then s.type else 'individual' end,
  currency = coalesce(
    (select d.value from private.adoption_decisions as d where d.kind = 'coach.currency' and d.key = s.coach_id::text), s.currency)
where s.ends_at is null and /*within s.id*/ true
