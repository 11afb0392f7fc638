-- What a practice's documents carry besides its legal particulars: logo, a line at the foot, where to transfer money.

create table if not exists private.logos (
  practice_id uuid not null references public.practices (id) on delete cascade,
  sha256 text not null,
  media_type text not null,
  content bytea not null,
  created_at timestamptz not null default now(),
  primary key (practice_id, sha256),
  constraint logos_size check (octet_length(content) between 1 and 262144),
  constraint logos_media_type check (media_type in ('image/png', 'image/jpeg')),
  constraint logos_hash check (sha256 = encode(sha256(content), 'hex'))
);
comment on table private.logos is
  'Logos by their content. A practice that takes another keeps the old one here, since issued documents go on showing it.';
revoke all on private.logos from public, anon, authenticated, service_role;
alter table private.logos enable row level security;

create table if not exists public.practice_letterheads (
  practice_id uuid primary key references public.practices (id) on delete cascade,
  footer text,
  transfer_details text,
  send_on_issue boolean not null default false,
  logo_sha256 text,
  created_at timestamptz not null default now(),
  updated_at timestamptz not null default now(),
  constraint practice_letterheads_logo_fkey foreign key (practice_id, logo_sha256) references private.logos (practice_id, sha256),
  constraint practice_letterheads_lengths check (char_length(footer) <= 300 and char_length(transfer_details) <= 1000)
);
comment on table public.practice_letterheads is 'How the documents of a practice look and travel. Issued ones keep what they were issued with.';
comment on column public.practice_letterheads.transfer_details is 'Where to transfer money: bank, branch, account, IBAN. Shown on open invoices and to payers.';
comment on column public.practice_letterheads.send_on_issue is 'Mail each document to its buyer as soon as it is issued.';
create index if not exists practice_letterheads_logo_idx on public.practice_letterheads (practice_id, logo_sha256);

revoke all on public.practice_letterheads from public, anon, authenticated, service_role;
grant select, insert, update, delete on public.practice_letterheads to service_role;
grant select on public.practice_letterheads to authenticated;
grant insert (practice_id, footer, transfer_details, send_on_issue) on public.practice_letterheads to authenticated;
grant update (footer, transfer_details, send_on_issue) on public.practice_letterheads to authenticated;
alter table public.practice_letterheads enable row level security;

drop policy if exists practice_letterheads_select_member on public.practice_letterheads;
create policy practice_letterheads_select_member on public.practice_letterheads for select to authenticated
  using (practice_id = any ((select private.my_practice_ids())::uuid[]) or (select private.i_am_admin()));
comment on policy practice_letterheads_select_member on public.practice_letterheads is 'A practice''s people, and an admin, read it.';
drop policy if exists practice_letterheads_insert_owner on public.practice_letterheads;
create policy practice_letterheads_insert_owner on public.practice_letterheads for insert to authenticated
  with check (practice_id = any ((select private.my_owned_practice_ids())::uuid[]));
comment on policy practice_letterheads_insert_owner on public.practice_letterheads is 'Owners of a practice make its letterhead.';
drop policy if exists practice_letterheads_update_owner on public.practice_letterheads;
create policy practice_letterheads_update_owner on public.practice_letterheads for update to authenticated
  using (practice_id = any ((select private.my_owned_practice_ids())::uuid[]))
  with check (practice_id = any ((select private.my_owned_practice_ids())::uuid[]));
comment on policy practice_letterheads_update_owner on public.practice_letterheads is 'Owners of a practice change its letterhead.';

drop trigger if exists practice_letterheads_touch on public.practice_letterheads;
create trigger practice_letterheads_touch before update on public.practice_letterheads
  for each row execute function private.touch_updated_at();

create or replace function public.set_practice_logo(p_practice_id uuid, p_content bytea) returns void
  language plpgsql security definer set search_path = '' as $$
declare
  v_hash constant text := encode(sha256(p_content), 'hex');
  v_type constant text := case
    when substr(p_content, 1, 8) = '\x89504e470d0a1a0a' then 'image/png'
    when substr(p_content, 1, 3) = '\xffd8ff' then 'image/jpeg' end;
begin
  if private.acting_as_api() and p_practice_id <> all (private.my_owned_practice_ids()) then
    perform private.fail(404, 'not_found', 'There is no such thing here.');
  end if;
  if p_content is not null then
    if v_type is null or octet_length(p_content) > 262144 then
      perform private.fail(422, 'logo_refused', 'A logo is a PNG or JPEG of at most 256 KiB.');
    end if;
    insert into private.logos (practice_id, sha256, media_type, content) values (p_practice_id, v_hash, v_type, p_content)
    on conflict do nothing;
  end if;
  insert into public.practice_letterheads (practice_id, logo_sha256) values (p_practice_id, v_hash)
  on conflict (practice_id) do update set logo_sha256 = v_hash;
end $$;
comment on function public.set_practice_logo(uuid, bytea) is
  'security definer: logos is granted to nobody. Owners of a practice set the logo of its documents, or remove it with null.';
revoke execute on function public.set_practice_logo(uuid, bytea) from public, anon, authenticated, service_role;
grant execute on function public.set_practice_logo(uuid, bytea) to authenticated, service_role;
