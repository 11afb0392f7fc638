alter table public.coach_availability
  add column if not exists continues_until time;
