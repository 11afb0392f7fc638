-- Documents on their way by mail: asked for in one transaction, sent by a job after it, and what became of it.

create table if not exists public.document_sends (
  id uuid primary key default gen_random_uuid(),
  invoice_id uuid not null references public.invoices (id) on delete cascade,
  practice_id uuid not null references public.practices (id) on delete restrict,
  email text not null,
  requested_by uuid references public.users (id) on delete set null,
  created_at timestamptz not null default now(),
  updated_at timestamptz not null default now(),
  sent_at timestamptz,
  failed_at timestamptz,
  failure text,
  constraint document_sends_email_length check (char_length(email) between 3 and 320 and email !~ '[[:space:]<>]'),
  constraint document_sends_ends_once check (num_nonnulls(sent_at, failed_at) <= 1)
);
comment on table public.document_sends is 'Mails that carry a document: to whom, when asked for, and whether they left.';
comment on column public.document_sends.failure is 'What the mail server said, where it refused for good.';
create index if not exists document_sends_invoice_idx on public.document_sends (invoice_id, created_at desc, id desc);
create index if not exists document_sends_practice_idx on public.document_sends (practice_id);
create index if not exists document_sends_requested_by_idx on public.document_sends (requested_by);
create unique index if not exists document_sends_one_waiting
  on public.document_sends (invoice_id, email) where sent_at is null and failed_at is null;

revoke all on public.document_sends from public, anon, authenticated, service_role;
grant select, insert, update, delete on public.document_sends to service_role;
grant select on public.document_sends to authenticated;
alter table public.document_sends enable row level security;
drop policy if exists document_sends_select_practice on public.document_sends;
create policy document_sends_select_practice on public.document_sends for select to authenticated
  using (practice_id = any ((select private.my_practice_ids())::uuid[]) or (select private.i_am_admin()));
comment on policy document_sends_select_practice on public.document_sends is 'A practice''s people, and an admin, see what was sent.';
drop trigger if exists document_sends_touch on public.document_sends;
create trigger document_sends_touch before update on public.document_sends
  for each row execute function private.touch_updated_at();

create or replace function private.queue_document(p_invoice_id uuid, p_email text) returns uuid
  language plpgsql security definer set search_path = '' as $$
declare
  v_id uuid;
begin
  insert into public.document_sends (invoice_id, practice_id, email, requested_by)
  select i.id, i.practice_id, lower(p_email), private.me() from public.invoices i where i.id = p_invoice_id
  on conflict (invoice_id, email) where sent_at is null and failed_at is null do nothing
  returning id into v_id;
  if v_id is null then
    return (select s.id from public.document_sends s
            where s.invoice_id = p_invoice_id and s.email = lower(p_email) and num_nonnulls(s.sent_at, s.failed_at) = 0);
  end if;
  perform private.enqueue('documents.send', jsonb_build_object('send_id', v_id));
  return v_id;
end $$;
comment on function private.queue_document(uuid, text) is
  'security definer: users cause mails but may not touch the queue. One mail of a document to an address waits at a time.';
revoke execute on function private.queue_document(uuid, text) from public, anon, authenticated, service_role;

create or replace function public.send_document(p_invoice_id uuid, p_email text default null) returns uuid
  language plpgsql security definer set search_path = '' as $$
declare
  v_invoice public.invoices := private.lock_my_invoice(p_invoice_id, false);
  v_email constant text := coalesce(nullif(btrim(p_email), ''), v_invoice.buyer_email);
begin
  perform private.printable_invoice(p_invoice_id);
  if v_email is null then
    perform private.fail(422, 'no_address', 'The buyer has no e-mail address.', 'Give the address to send it to.');
  end if;
  if (select count(*) from public.document_sends s where s.invoice_id = p_invoice_id and s.created_at > now() - interval '1 day') >= 20 then
    perform private.fail(409, 'sent_too_often', 'This document was sent 20 times within a day.', 'Wait, or hand out a link instead.');
  end if;
  return private.queue_document(p_invoice_id, v_email);
end $$;
comment on function public.send_document(uuid, text) is
  'security definer: a coach has an issued document of her practice mailed to its buyer, or to an address given. Returns the mail; one that waits already is not doubled.';
revoke execute on function public.send_document(uuid, text) from public, anon, authenticated, service_role;
grant execute on function public.send_document(uuid, text) to authenticated, service_role;

create or replace function private.send_on_issue() returns trigger
  language plpgsql security definer set search_path = '' as $$
begin
  if new.buyer_email is not null and not new.issued_elsewhere and not new.is_history
     and exists (select from public.practice_letterheads h where h.practice_id = new.practice_id and h.send_on_issue) then
    perform private.queue_document(new.id, new.buyer_email);
  end if;
  return null;
end $$;
comment on function private.send_on_issue() is 'security definer: calls a helper that no API role may. Trigger: practices that want it have documents mailed as they are issued.';
revoke execute on function private.send_on_issue() from public, anon, authenticated, service_role;
drop trigger if exists invoices_send_on_issue on public.invoices;
create trigger invoices_send_on_issue after update of finalized_at on public.invoices
  for each row when (old.finalized_at is null and new.finalized_at is not null) execute function private.send_on_issue();

create or replace function private.document_to_send(p_send_id uuid, out content jsonb, out logo bytea, out email text,
  out recipient_name text, out language public.language, out token text)
  language plpgsql security definer set search_path = '' as $$
declare
  v_send public.document_sends;
begin
  select * into v_send from public.document_sends s where s.id = p_send_id and num_nonnulls(s.sent_at, s.failed_at) = 0;
  if not found then return; end if;
  select d.content, d.logo, v_send.email, i.buyer_name, coalesce(u.language, p.language), private.new_document_link(i.id, 180)
  into content, logo, email, recipient_name, language, token
  from public.invoices i
  join public.practices p on p.id = i.practice_id
  left join public.users u on u.id = i.user_id
  cross join lateral private.document_of(i.id) d
  where i.id = v_send.invoice_id;
end $$;
comment on function private.document_to_send(uuid) is
  'security definer: faces and links are granted to nobody. For the mail job: the document and a new link to it. Nulls where nothing is left to send.';
revoke execute on function private.document_to_send(uuid) from public, anon, authenticated, service_role;
grant execute on function private.document_to_send(uuid) to service_role;
