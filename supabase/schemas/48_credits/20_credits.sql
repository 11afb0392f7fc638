-- What clients have in advance, and the ledger that says what became of each session of it.

create table if not exists public.credits (
  id uuid primary key default gen_random_uuid(),
  practice_id uuid not null references public.practices (id) on delete restrict,
  coach_client_id uuid not null references public.coach_clients (id) on delete restrict,
  template_id uuid not null references public.session_templates (id) on delete restrict,
  package_id uuid references public.packages (id) on delete set null,
  invoice_line_id uuid references public.invoice_line_items (id) on delete cascade,
  title text not null,
  sessions integer not null,
  balance integer not null default 0,
  valid_days integer,
  expires_at timestamptz,
  spent_at text not null,
  granted_at text not null,
  granted_on timestamptz,
  created_at timestamptz not null default now(),
  updated_at timestamptz not null default now(),
  constraint credits_title_length check (char_length(btrim(title)) between 1 and 200),
  constraint credits_sessions_range check (sessions between 1 and 100000),
  constraint credits_never_below_zero check (balance >= 0),
  constraint credits_spent_at check (spent_at in ('booking', 'attendance')),
  constraint credits_granted_at check (granted_at in ('issue', 'payment', 'hand')),
  constraint credits_sold_or_given check ((granted_at = 'hand') = (invoice_line_id is null))
);
comment on table public.credits is 'Sessions that a client has in advance: one row for each package sold, or gift. Empty until granted_on.';
comment on column public.credits.invoice_line_id is 'The line that sold it; null for what was given by hand.';
comment on column public.credits.balance is 'What is left: the sum of its entries, kept by trigger. The row lock of that update is what holds it above zero.';
comment on column public.credits.expires_at is 'Good for sessions that start before this.';
create index if not exists credits_practice_idx on public.credits (practice_id, created_at desc, id desc);
create index if not exists credits_client_idx on public.credits (coach_client_id, template_id, expires_at) where balance > 0;
create index if not exists credits_coach_client_idx on public.credits (coach_client_id, created_at desc, id desc);
create index if not exists credits_template_idx on public.credits (template_id);
create index if not exists credits_package_idx on public.credits (package_id);
create unique index if not exists credits_one_per_line on public.credits (invoice_line_id);

create table if not exists public.credit_entries (
  id uuid primary key default gen_random_uuid(),
  credit_id uuid not null references public.credits (id) on delete cascade,
  practice_id uuid not null references public.practices (id) on delete restrict,
  change integer not null,
  reason text not null,
  attendee_id uuid references public.session_attendees (id) on delete set null,
  note text,
  made_by uuid references public.users (id) on delete set null,
  created_at timestamptz not null default now(),
  constraint credit_entries_moves check (change <> 0),
  constraint credit_entries_reason check (case reason
    when 'granted' then change > 0 when 'returned' then change > 0
    when 'spent' then change = -1 when 'expired' then change < 0 when 'withdrawn' then change < 0
    when 'moved' then nullif(btrim(note), '') is not null else false end),
  constraint credit_entries_note_length check (char_length(note) <= 500)
);
comment on table public.credit_entries is 'The ledger of credits, append-only: what came, what went, and why.';
comment on column public.credit_entries.reason is
  'granted: sold or given. spent: on a seat. returned: the seat was given up in time, or the sale stands after all. expired. withdrawn: the sale was taken back. moved: by hand, and note says why.';
create index if not exists credit_entries_credit_idx on public.credit_entries (credit_id, created_at, id);
create index if not exists credit_entries_attendee_idx on public.credit_entries (attendee_id, created_at);
create index if not exists credit_entries_practice_idx on public.credit_entries (practice_id);
create index if not exists credit_entries_made_by_idx on public.credit_entries (made_by);

-- Only the functions of the owner write.
revoke all on public.credits, public.credit_entries from public, anon, authenticated, service_role;
grant select on public.credits, public.credit_entries to authenticated, service_role;
alter table public.credits enable row level security;
alter table public.credit_entries enable row level security;

create or replace function private.my_credit_ids() returns uuid[]
  language sql stable security definer set search_path = '' as $$
  select coalesce(array_agg(k.id), '{}') from public.credits k join public.coach_clients c on c.id = k.coach_client_id
  where c.client_id = (select private.me())
$$;
comment on function private.my_credit_ids() is
  'security definer: policies of credits and entries ask for what a client has without reading another guarded table.';
revoke execute on function private.my_credit_ids() from public, anon, authenticated, service_role;
grant execute on function private.my_credit_ids() to authenticated;

drop policy if exists credits_select_client on public.credits;
create policy credits_select_client on public.credits for select to authenticated
  using (id = any ((select private.my_credit_ids())::uuid[]));
comment on policy credits_select_client on public.credits is 'A client sees what the client has.';
drop policy if exists credits_select_practice on public.credits;
create policy credits_select_practice on public.credits for select to authenticated
  using (practice_id = any ((select private.my_practice_ids())::uuid[]) or (select private.i_am_admin()));
comment on policy credits_select_practice on public.credits is 'A practice''s people see what they sold, an admin everything.';
drop policy if exists credit_entries_select_client on public.credit_entries;
create policy credit_entries_select_client on public.credit_entries for select to authenticated
  using (credit_id = any ((select private.my_credit_ids())::uuid[]));
comment on policy credit_entries_select_client on public.credit_entries is 'A client sees what became of the client''s credits.';
drop policy if exists credit_entries_select_practice on public.credit_entries;
create policy credit_entries_select_practice on public.credit_entries for select to authenticated
  using (practice_id = any ((select private.my_practice_ids())::uuid[]) or (select private.i_am_admin()));
comment on policy credit_entries_select_practice on public.credit_entries is 'A practice''s people see the ledger of what they sold, an admin everything.';

drop trigger if exists credits_touch on public.credits;
create trigger credits_touch before update on public.credits for each row execute function private.touch_updated_at();

create or replace function private.count_credit() returns trigger
  language plpgsql security definer set search_path = '' as $$
begin
  update public.credits set balance = balance + new.change where id = new.credit_id;
  perform private.book_credit(new.credit_id);
  return null;
end $$;
comment on function private.count_credit() is
  'security definer: credits are written by nobody. Trigger: balance and books follow the ledger, and a check refuses what would go below zero.';
revoke execute on function private.count_credit() from public, anon, authenticated, service_role;
drop trigger if exists credit_entries_count on public.credit_entries;
create trigger credit_entries_count after insert on public.credit_entries for each row execute function private.count_credit();

create or replace function private.keep_credit_entry() returns trigger
  language plpgsql set search_path = '' as $$
begin
  -- A draft that is thrown away takes its empty credits along; seats and people may be forgotten, what moved stays.
  if tg_op = 'UPDATE' and to_jsonb(new) - array['attendee_id', 'made_by'] = to_jsonb(old) - array['attendee_id', 'made_by']
     and num_nonnulls(new.attendee_id, new.made_by) < num_nonnulls(old.attendee_id, old.made_by) then
    return new;
  end if;
  perform private.fail(409, 'credits_append_only', 'The ledger of credits is never changed.', 'Move credits by hand, and say why.');
  return null;
end $$;
comment on function private.keep_credit_entry() is 'Trigger: the ledger of credits is append-only, for the owner too.';
revoke execute on function private.keep_credit_entry() from public, anon, authenticated, service_role;
drop trigger if exists credit_entries_keep on public.credit_entries;
create trigger credit_entries_keep before update or delete on public.credit_entries
  for each row execute function private.keep_credit_entry();

drop trigger if exists credit_entries_whole on public.credit_entries;
create trigger credit_entries_whole before truncate on public.credit_entries
  for each statement execute function private.keep_credit_entry();

create or replace function private.move_credit(p_credit public.credits, p_change integer, p_reason text, p_attendee_id uuid default null,
  p_note text default null) returns void
  language sql security definer set search_path = '' as $$
  insert into public.credit_entries (credit_id, practice_id, change, reason, attendee_id, note, made_by)
  values (p_credit.id, p_credit.practice_id, p_change, p_reason, p_attendee_id, p_note, private.me())
$$;
comment on function private.move_credit(public.credits, integer, text, uuid, text) is
  'security definer: the only writer of the ledger.';
revoke execute on function private.move_credit(public.credits, integer, text, uuid, text) from public, anon, authenticated, service_role;
