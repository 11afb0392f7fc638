-- The books: double entry, append-only. Debits are positive, credits negative; balances are sums, never stored.
create table if not exists public.journal_transactions (
  id uuid primary key default gen_random_uuid(),
  practice_id uuid not null references public.practices (id) on delete restrict,
  currency text not null,
  kind text not null,
  subject text not null,
  subject_id uuid not null,
  coach_client_id uuid references public.coach_clients (id) on delete restrict,
  memo text,
  actor_id uuid references public.users (id) on delete set null,
  occurred_at timestamptz not null default now(),
  created_at timestamptz not null default now(),
  constraint journal_transactions_subject_known check (subject in ('document', 'payment', 'credit', 'gateway')),
  constraint journal_transactions_kind_form check (kind ~ '^[a-z_]{3,40}$'),
  constraint journal_transactions_currency_known check (private.is_currency(currency)),
  constraint journal_transactions_currency_key unique (id, currency, practice_id)
);
comment on table public.journal_transactions is
  'What moved money or claims, one row per movement and subject. Written by triggers; corrected by further rows, never changed.';
comment on column public.journal_transactions.subject is
  'What it follows from: a document, a payment, a movement of credits and packages, or a report of a gateway.';
comment on column public.journal_transactions.occurred_at is 'The day that it counts for; created_at is when it was written.';
comment on column public.journal_transactions.actor_id is 'Who did it; null for the service.';

create table if not exists public.journal_entries (
  transaction_id uuid not null,
  account text not null,
  amount_cents bigint not null,
  currency text not null,
  practice_id uuid not null references public.practices (id) on delete restrict,
  primary key (transaction_id, account),
  constraint journal_entries_transaction_fkey foreign key (transaction_id, currency, practice_id)
    references public.journal_transactions (id, currency, practice_id) on delete restrict,
  constraint journal_entries_moves check (amount_cents <> 0),
  constraint journal_entries_account_known check (account ~ '^(receivable|cash|bank|vouchers|other|revenue|tax|tax_deferred|credits|refunds|fees|write_offs|disputes|clearing:[a-z]{1,30})$')
);
comment on table public.journal_entries is 'The two or more sides of a movement; together they are zero, in one currency.';
comment on column public.journal_entries.account is
  'receivable: what clients owe. clearing:<gateway>, cash, bank, vouchers, other: where money is. credits: money of clients that no invoice has. revenue, tax, tax_deferred (due when paid), refunds (given back, no credit note yet), fees, write_offs, disputes.';
comment on column public.journal_entries.amount_cents is 'Debit above zero, credit below.';

create index if not exists journal_transactions_subject_idx on public.journal_transactions (subject_id, subject);
create index if not exists journal_transactions_practice_idx on public.journal_transactions (practice_id, created_at desc, id desc);
create index if not exists journal_transactions_client_idx on public.journal_transactions (coach_client_id);
create index if not exists journal_transactions_actor_idx on public.journal_transactions (actor_id);
create index if not exists journal_entries_transaction_idx on public.journal_entries (transaction_id, currency, practice_id);
create index if not exists journal_entries_practice_idx on public.journal_entries (practice_id, account);

-- No role may change or delete, and only the functions of the owner write.
revoke all on public.journal_transactions, public.journal_entries from public, anon, authenticated, service_role;
grant select on public.journal_transactions, public.journal_entries to authenticated, service_role;

alter table public.journal_transactions enable row level security;
alter table public.journal_entries enable row level security;
drop policy if exists journal_transactions_select_practice on public.journal_transactions;
create policy journal_transactions_select_practice on public.journal_transactions for select to authenticated
  using (practice_id = any ((select private.my_practice_ids())::uuid[]));
comment on policy journal_transactions_select_practice on public.journal_transactions is 'The people of a practice read its books.';
drop policy if exists journal_transactions_select_admin on public.journal_transactions;
create policy journal_transactions_select_admin on public.journal_transactions for select to authenticated
  using ((select private.i_am_admin()));
comment on policy journal_transactions_select_admin on public.journal_transactions is 'An admin reads every book.';
drop policy if exists journal_entries_select_practice on public.journal_entries;
create policy journal_entries_select_practice on public.journal_entries for select to authenticated
  using (practice_id = any ((select private.my_practice_ids())::uuid[]));
comment on policy journal_entries_select_practice on public.journal_entries is 'The people of a practice read its books.';
drop policy if exists journal_entries_select_admin on public.journal_entries;
create policy journal_entries_select_admin on public.journal_entries for select to authenticated
  using ((select private.i_am_admin()));
comment on policy journal_entries_select_admin on public.journal_entries is 'An admin reads every book.';

create or replace function private.keep_journal() returns trigger
  language plpgsql set search_path = '' as $$
begin
  -- Whoever did it may be forgotten; what was done stays. Entries have no actor, and what is deleted has nothing new.
  if to_jsonb(new) = to_jsonb(old) || '{"actor_id": null}' and to_jsonb(old) ->> 'actor_id' is not null then
    return new;
  end if;
  perform private.fail(409, 'journal_append_only', 'The journal is never changed.', 'A further entry puts right what an earlier one said.');
  return null;
end $$;
comment on function private.keep_journal() is 'Trigger: the journal is append-only, for the owner of its tables too.';
revoke execute on function private.keep_journal() from public, anon, authenticated, service_role;
drop trigger if exists journal_transactions_keep on public.journal_transactions;
create trigger journal_transactions_keep before update or delete on public.journal_transactions
  for each row execute function private.keep_journal();
drop trigger if exists journal_transactions_whole on public.journal_transactions;
create trigger journal_transactions_whole before truncate on public.journal_transactions
  for each statement execute function private.keep_journal();
drop trigger if exists journal_entries_keep on public.journal_entries;
create trigger journal_entries_keep before update or delete on public.journal_entries
  for each row execute function private.keep_journal();
drop trigger if exists journal_entries_whole on public.journal_entries;
create trigger journal_entries_whole before truncate on public.journal_entries
  for each statement execute function private.keep_journal();

create or replace function private.check_journal_balance() returns trigger
  language plpgsql security definer set search_path = '' as $$
begin
  if coalesce((select sum(e.amount_cents) from public.journal_entries e where e.transaction_id = (to_jsonb(new) ->> tg_argv[0])::uuid), 1) <> 0 then
    perform private.fail(409, 'journal_unbalanced', 'The sides of a movement must be equal.');
  end if;
  return null;
end $$;
comment on function private.check_journal_balance() is
  'security definer: constraint trigger, sums at commit what the writer may not read. Every transaction has entries, and they are zero together.';
revoke execute on function private.check_journal_balance() from public, anon, authenticated, service_role;
drop trigger if exists journal_entries_balance on public.journal_entries;
create constraint trigger journal_entries_balance after insert on public.journal_entries deferrable initially deferred
  for each row execute function private.check_journal_balance('transaction_id');
drop trigger if exists journal_transactions_balance on public.journal_transactions;
create constraint trigger journal_transactions_balance after insert on public.journal_transactions deferrable initially deferred
  for each row execute function private.check_journal_balance('id');
