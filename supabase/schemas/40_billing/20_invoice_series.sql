-- The last number given, per practice, kind of document and year. The row lock of the update makes numbers gap-less.
create table if not exists public.invoice_series (
  practice_id uuid not null references public.practices (id) on delete restrict,
  document_kind text not null,
  year integer not null,
  last_number bigint not null default 0,
  created_at timestamptz not null default now(),
  updated_at timestamptz not null default now(),
  first_number bigint not null,
  primary key (practice_id, document_kind, year),
  constraint invoice_series_first_before_next check (first_number between 1 and last_number + 1),
  constraint invoice_series_year_sane check (year between 2000 and 2200)
);
comment on table public.invoice_series is
  'Counters of document numbers. Moved only inside the transaction that finalises the document, so a rollback leaves no hole.';
comment on column public.invoice_series.first_number is
  'The first number that Loom gives: 1, or the next of the series that another system began this year.';

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
  if tg_op = 'INSERT' then
    new.first_number := coalesce(new.first_number, new.last_number + 1);
    return new;
  end if;
  if tg_op = 'DELETE' or new.last_number < old.last_number
     or (new.practice_id, new.document_kind, new.year) is distinct from (old.practice_id, old.document_kind, old.year) then
    perform private.fail(409, 'series_only_rises', 'The counter of a document series never falls and is never deleted.');
  end if;
  -- Nothing may be jumped over once a number was given: that would be a hole.
  if (new.first_number <> old.first_number or new.last_number > old.last_number + 1)
     and (old.last_number >= old.first_number or new.first_number <> new.last_number + 1) then
    perform private.fail(409, 'series_begun', 'The series of this year has begun; a jump would leave a hole in it.');
  end if;
  return new;
end $$;
comment on function private.keep_invoice_series() is 'Trigger: counters rise one by one, from the first number that Loom gives.';
revoke execute on function private.keep_invoice_series() from public, anon, authenticated, service_role;
drop trigger if exists invoice_series_keep on public.invoice_series;
create trigger invoice_series_keep before insert or update or delete on public.invoice_series
  for each row execute function private.keep_invoice_series();
drop trigger if exists invoice_series_whole on public.invoice_series;
create trigger invoice_series_whole before truncate on public.invoice_series
  for each statement execute function private.refuse_money_delete();
drop trigger if exists invoice_series_touch on public.invoice_series;
create trigger invoice_series_touch before update on public.invoice_series
  for each row execute function private.touch_updated_at();

create or replace function public.continue_series(p_document_kind text, p_last_number bigint, p_year integer default null) returns bigint
  language plpgsql security definer set search_path = '' as $$
declare
  v_practice public.practices;
  v_year integer;
begin
  select * into v_practice from public.practices p where p.id = any ((select private.my_owned_practice_ids())::uuid[]);
  if not found then perform private.fail(404, 'not_found', 'There is no such thing here.'); end if;
  if private.document_prefix(p_document_kind) is null then
    perform private.fail(422, 'kind_unknown', 'There is no such kind of document.');
  end if;
  if p_last_number is null or p_last_number not between 0 and 999999999 then
    perform private.fail(422, 'amount_out_of_range', 'The last number is between 0 and 999999999.');
  end if;
  v_year := coalesce(p_year, extract(year from now() at time zone v_practice.timezone));
  if v_year not between extract(year from now() at time zone v_practice.timezone)::integer
     and extract(year from now() at time zone v_practice.timezone)::integer + 1 then
    perform private.fail(422, 'series_year', 'A series is continued in this year or prepared for the next.');
  end if;
  insert into public.invoice_series (practice_id, document_kind, year, last_number)
  values (v_practice.id, p_document_kind, v_year, p_last_number)
  on conflict (practice_id, document_kind, year) do update
    set last_number = excluded.last_number, first_number = excluded.last_number + 1
    where public.invoice_series.last_number <> excluded.last_number;
  return p_last_number + 1;
end $$;
comment on function public.continue_series(text, bigint, integer) is
  'security definer: nobody may write series. An owner of a practice says the last number that another system gave; Loom goes on from there. Returns the next number.';
revoke execute on function public.continue_series(text, bigint, integer) from public, anon, authenticated, service_role;
grant execute on function public.continue_series(text, bigint, integer) to authenticated;
