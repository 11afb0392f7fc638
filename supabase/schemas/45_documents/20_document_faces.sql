-- What a document shows of its issuer beside what the invoice keeps, from the moment it is issued: a practice that takes
-- another logo, telephone or bank does not change what it issued.

create table if not exists private.document_faces (
  invoice_id uuid primary key references public.invoices (id) on delete cascade,
  face jsonb not null,
  created_at timestamptz not null default now(),
  constraint document_faces_object check (jsonb_typeof(face) = 'object')
);
comment on table private.document_faces is
  'The issuer as the document shows it, and the layout it is set in. Written once, when the document is issued.';
revoke all on private.document_faces from public, anon, authenticated, service_role;
alter table private.document_faces enable row level security;

create or replace function private.face_of(p_practice_id uuid) returns jsonb
  language sql stable security definer set search_path = '' as $$
  select jsonb_build_object(
    'layout', 1, 'language', p.language, 'timezone', p.timezone, 'tax_scheme', p.tax_scheme, 'phone', p.phone, 'email', p.email,
    'footer', h.footer, 'transfer_details', h.transfer_details, 'logo_sha256', h.logo_sha256)
  from public.practices p left join public.practice_letterheads h on h.practice_id = p.id
  where p.id = p_practice_id
$$;
comment on function private.face_of(uuid) is
  'security definer: payers may not read practices. What a document issued now says about its issuer, beside what the invoice itself keeps.';
revoke execute on function private.face_of(uuid) from public, anon, authenticated, service_role;

create or replace function private.freeze_face() returns trigger
  language plpgsql security definer set search_path = '' as $$
begin
  insert into private.document_faces (invoice_id, face) values (new.id, private.face_of(new.practice_id));
  return null;
end $$;
comment on function private.freeze_face() is 'security definer: document_faces is granted to nobody. Trigger: an issued document keeps its face.';
revoke execute on function private.freeze_face() from public, anon, authenticated, service_role;

create or replace function private.keep_face() returns trigger
  language plpgsql set search_path = '' as $$
begin
  perform private.fail(409, 'invoice_final', 'What an issued document says never changes.');
  return null;
end $$;
comment on function private.keep_face() is 'Trigger: what an issued document shows is neither changed nor deleted.';
revoke execute on function private.keep_face() from public, anon, authenticated, service_role;

drop trigger if exists invoices_freeze_face on public.invoices;
drop trigger if exists invoices_freeze_face_new on public.invoices;
create trigger invoices_freeze_face after update of finalized_at on public.invoices
  for each row when (old.finalized_at is null and new.finalized_at is not null) execute function private.freeze_face();
create trigger invoices_freeze_face_new after insert on public.invoices
  for each row when (new.finalized_at is not null) execute function private.freeze_face();
drop trigger if exists document_faces_keep on private.document_faces;
create trigger document_faces_keep before update or delete on private.document_faces
  for each row execute function private.keep_face();

create or replace function private.keep_logo() returns trigger
  language plpgsql security definer set search_path = '' as $$
begin
  if tg_op = 'DELETE' and not exists (
       select from public.invoices i join private.document_faces f on f.invoice_id = i.id
       where i.practice_id = old.practice_id and f.face ->> 'logo_sha256' = old.sha256) then
    return old;
  end if;
  perform private.fail(409, 'invoice_final', 'Issued documents show this logo.', 'Set another; the old one stays with what shows it.');
  return null;
end $$;
comment on function private.keep_logo() is 'security definer: faces are granted to nobody. Trigger: a logo that issued documents show stays as it is.';
revoke execute on function private.keep_logo() from public, anon, authenticated, service_role;
drop trigger if exists logos_keep on private.logos;
create trigger logos_keep before update or delete on private.logos for each row execute function private.keep_logo();
