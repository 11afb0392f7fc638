-- The last number given, per practice, kind of document and year. The row lock of the update makes numbers gap-less.
create table if not exists public.invoice_series (
  practice_id uuid not null references public.practices (id) on delete restrict,
  document_kind text not null,
  year integer not null,
  last_number bigint not null default 0,
  created_at timestamptz not null default now(),
  updated_at timestamptz not null default now(),
  primary key (practice_id, document_kind, year),
  constraint invoice_series_number_not_negative check (last_number >= 0),
  constraint invoice_series_year_sane check (year between 2000 and 2200)
);
comment on table public.invoice_series is
  'Counters of document numbers. Moved only inside the transaction that finalises the document, so a rollback leaves no hole.';

revoke all on public.invoice_series from public, anon, authenticated, service_role;
grant select, insert, update on public.invoice_series to service_role;
grant select on public.invoice_series to authenticated;

alter table public.invoice_series enable row level security;
drop policy if exists invoice_series_select_practice on public.invoice_series;
create policy invoice_series_select_practice on public.invoice_series for select to authenticated
  using (practice_id = any ((select private.my_practice_ids())::uuid[]));
comment on policy invoice_series_select_practice on public.invoice_series is 'The people of a practice see where its numbers stand.';
drop policy if exists invoice_series_select_admin on public.invoice_series;
create policy invoice_series_select_admin on public.invoice_series for select to authenticated
  using ((select private.i_am_admin()));
comment on policy invoice_series_select_admin on public.invoice_series is 'An admin sees every series.';

create or replace function private.keep_invoice_series() returns trigger
  language plpgsql set search_path = '' as $$
begin
  if tg_op = 'DELETE' or new.last_number < old.last_number
     or (new.practice_id, new.document_kind, new.year) is distinct from (old.practice_id, old.document_kind, old.year) then
    perform private.fail(409, 'series_only_rises', 'The counter of a document series never falls and is never deleted.');
  end if;
  return new;
end $$;
comment on function private.keep_invoice_series() is 'Trigger: counters only rise.';
revoke execute on function private.keep_invoice_series() from public, anon, authenticated, service_role;
drop trigger if exists invoice_series_keep on public.invoice_series;
create trigger invoice_series_keep before update or delete on public.invoice_series
  for each row execute function private.keep_invoice_series();
drop trigger if exists invoice_series_touch on public.invoice_series;
create trigger invoice_series_touch before update on public.invoice_series
  for each row execute function private.touch_updated_at();
