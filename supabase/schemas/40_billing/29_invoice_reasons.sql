-- Why a document was voided or given up on. Beside the invoice, since whoever pays may read that and not this.
create table if not exists public.invoice_reasons (
  id uuid primary key default gen_random_uuid(),
  invoice_id uuid not null references public.invoices (id) on delete restrict,
  practice_id uuid not null references public.practices (id) on delete restrict,
  kind text not null,
  reason text not null,
  made_by uuid references public.users (id) on delete set null,
  created_at timestamptz not null default now(),
  constraint invoice_reasons_kind_known check (kind in ('voided', 'written_off')),
  constraint invoice_reasons_reason_length check (char_length(btrim(reason)) between 1 and 500)
);
comment on table public.invoice_reasons is
  'Why invoices were voided or written off, and who said so. A write-off that was taken back keeps its reason.';
comment on column public.invoice_reasons.kind is 'What was done: voided or written_off.';

create index if not exists invoice_reasons_invoice_idx on public.invoice_reasons (invoice_id, created_at);
create index if not exists invoice_reasons_practice_idx on public.invoice_reasons (practice_id);
create index if not exists invoice_reasons_made_by_idx on public.invoice_reasons (made_by);

-- Only the functions of the owner write.
revoke all on public.invoice_reasons from public, anon, authenticated, service_role;
grant select on public.invoice_reasons to authenticated, service_role;

alter table public.invoice_reasons enable row level security;
drop policy if exists invoice_reasons_select_practice on public.invoice_reasons;
create policy invoice_reasons_select_practice on public.invoice_reasons for select to authenticated
  using (practice_id = any ((select private.my_practice_ids())::uuid[]) or (select private.i_am_admin()));
comment on policy invoice_reasons_select_practice on public.invoice_reasons is
  'The people of a practice, and an admin, see why it gave up on a document; its reasons are not for the client.';

drop trigger if exists invoice_reasons_kept on public.invoice_reasons;
create trigger invoice_reasons_kept before delete on public.invoice_reasons
  for each row execute function private.refuse_money_delete();

create or replace function private.note_reason(p_invoice public.invoices, p_kind text, p_reason text) returns void
  language sql security definer set search_path = '' as $$
  insert into public.invoice_reasons (invoice_id, practice_id, kind, reason, made_by)
  select p_invoice.id, p_invoice.practice_id, p_kind, p_reason, private.me() where btrim(p_reason) <> ''
$$;
comment on function private.note_reason(public.invoices, text, text) is
  'security definer: nobody writes reasons but by voiding or writing off. Keeps why, where something was said.';
revoke execute on function private.note_reason(public.invoices, text, text) from public, anon, authenticated, service_role;
