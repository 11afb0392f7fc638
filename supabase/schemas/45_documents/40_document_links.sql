-- Links that show a document to whoever holds them, without signing in. The token is in the link alone; here is its hash.

create table if not exists private.document_links (
  token_hash text primary key,
  invoice_id uuid not null references public.invoices (id) on delete cascade,
  made_by uuid references public.users (id) on delete set null,
  created_at timestamptz not null default now(),
  expires_at timestamptz not null,
  revoked_at timestamptz,
  constraint document_links_hash_form check (token_hash ~ '^[0-9a-f]{64}$')
);
comment on table private.document_links is 'Random tokens as SHA-256: each shows one document, and lets it be paid, until it expires or is revoked.';
create index if not exists document_links_invoice_idx on private.document_links (invoice_id);
create index if not exists document_links_made_by_idx on private.document_links (made_by);
revoke all on private.document_links from public, anon, authenticated, service_role;
alter table private.document_links enable row level security;

create or replace function private.new_document_link(p_invoice_id uuid, p_days integer) returns text
  language plpgsql security definer set search_path = '' as $$
declare
  -- Two random uuids carry 244 random bits; hashing them together gives a token without structure.
  v_token constant text := encode(sha256(uuid_send(gen_random_uuid()) || uuid_send(gen_random_uuid())), 'hex');
begin
  insert into private.document_links (token_hash, invoice_id, made_by, expires_at)
  values (encode(sha256(convert_to(v_token, 'UTF8')), 'hex'), p_invoice_id, private.me(), now() + make_interval(days => p_days));
  return v_token;
end $$;
comment on function private.new_document_link(uuid, integer) is
  'security definer: document_links is granted to nobody. A new token of a document, shown this once.';
revoke execute on function private.new_document_link(uuid, integer) from public, anon, authenticated, service_role;

create or replace function public.make_document_link(p_invoice_id uuid, p_days integer default 90) returns text
  language plpgsql security definer set search_path = '' as $$
begin
  perform private.printable_invoice((private.lock_my_invoice(p_invoice_id, false)).id);
  if p_days is null or p_days not between 1 and 365 then
    perform private.fail(422, 'link_days', 'A link is good for 1 to 365 days.');
  end if;
  return private.new_document_link(p_invoice_id, p_days);
end $$;
comment on function public.make_document_link(uuid, integer) is
  'security definer: a coach makes a link that shows an issued document of her practice to whoever holds it. Returns its token, shown this once.';
revoke execute on function public.make_document_link(uuid, integer) from public, anon, authenticated, service_role;
grant execute on function public.make_document_link(uuid, integer) to authenticated, service_role;

create or replace function public.revoke_document_links(p_invoice_id uuid) returns integer
  language plpgsql security definer set search_path = '' as $$
declare
  v_count integer;
begin
  update private.document_links set revoked_at = now()
  where invoice_id = (private.lock_my_invoice(p_invoice_id, false)).id and revoked_at is null and expires_at > now();
  get diagnostics v_count = row_count;
  return v_count;
end $$;
comment on function public.revoke_document_links(uuid) is
  'security definer: a coach takes back every link to a document of her practice, mailed ones included. Returns how many were good.';
revoke execute on function public.revoke_document_links(uuid) from public, anon, authenticated, service_role;
grant execute on function public.revoke_document_links(uuid) to authenticated, service_role;

create or replace function private.redeem_document_link(p_token text) returns uuid
  language plpgsql stable security definer set search_path = '' as $$
declare
  v_link private.document_links;
begin
  select * into v_link from private.document_links
  where token_hash = encode(sha256(convert_to(p_token, 'UTF8')), 'hex') and revoked_at is null;
  if not found then
    perform private.fail(404, 'not_found', 'There is no such thing here.');
  elsif v_link.expires_at <= now() then
    perform private.fail(410, 'link_expired', 'This link has expired.', 'Ask whoever sent it for a new one.');
  end if;
  return v_link.invoice_id;
end $$;
comment on function private.redeem_document_link(text) is
  'security definer: document_links is granted to nobody. The document behind a token; 404 for unknown and revoked ones, 410 for expired ones.';
revoke execute on function private.redeem_document_link(text) from public, anon, authenticated, service_role;

create or replace function private.receipts_due(p_invoice_id uuid) returns setof uuid
  language sql stable security definer set search_path = '' as $$
  select p.id from public.payments p join public.practices r on r.id = p.practice_id
  where p.status = 'paid' and not r.documents_elsewhere
    and p.id in (select a.payment_id from public.payment_allocations a where a.invoice_id = p_invoice_id)
    and not exists (select from public.invoices x where x.payment_id = p.id)
  order by p.paid_at, p.id
$$;
comment on function private.receipts_due(uuid) is
  'security definer: for functions that know who may see an invoice. The payments that went to it and have no receipt yet.';
revoke execute on function private.receipts_due(uuid) from public, anon, authenticated, service_role;

create or replace function public.document_by_link(p_token text, out content jsonb, out logo bytea, out state jsonb)
  language plpgsql stable security definer set search_path = '' as $$
declare
  v_invoice_id constant uuid := private.redeem_document_link(p_token);
begin
  select d.content, d.logo,
    jsonb_build_object('display_status', private.invoice_display_status(i), 'balance_cents', private.invoice_balance(i),
      'amount_paid_cents', i.amount_paid_cents, 'amount_refunded_cents', i.amount_refunded_cents, 'paid_at', i.paid_at,
      'receipts_due', exists (select from private.receipts_due(i.id)),
      'takes_cards', exists (select from public.gateway_accounts g where g.practice_id = i.practice_id and g.disabled_at is null),
      'payment_under_way', exists (select from public.payment_intents t where t.invoice_id = i.id and t.status = 'processing'))
  into content, logo, state
  from public.invoices i cross join lateral private.document_of(i.id) d where i.id = v_invoice_id;
end $$;
comment on function public.document_by_link(text) is
  'security definer: whoever holds the token is not signed in. The document behind a link, and how it stands.';
revoke execute on function public.document_by_link(text) from public, anon, authenticated, service_role;
grant execute on function public.document_by_link(text) to anon, authenticated;
