create table if not exists public.message_uploads (
  id uuid primary key default gen_random_uuid(),
  user_id uuid not null references public.users (id) on delete cascade,
  conversation_id uuid not null references public.conversations (id) on delete cascade,
  file_name text not null,
  declared_type text not null,
  declared_size integer not null,
  state text not null default 'waiting',
  refusal text,
  file_type text,
  file_size integer,
  attachment_type public.attachment_type not null default 'other',
  sha256 text,
  scanned boolean not null default false,
  expires_at timestamptz not null default now() + interval '1 day',
  created_at timestamptz not null default now(),
  updated_at timestamptz not null default now(),
  constraint message_uploads_state_check check (state in ('waiting', 'checking', 'clean', 'refused', 'attached', 'removed')),
  constraint message_uploads_refusal_check check ((state = 'refused') = (refusal is not null)),
  constraint message_uploads_size_check check (declared_size > 0),
  constraint message_uploads_name_check check (char_length(file_name) between 1 and 200 and private.is_plain_line(file_name) and file_name !~ '[/\\]'),
  constraint message_uploads_clean_check check (
    state not in ('clean', 'attached') or (file_type is not null and file_size is not null and sha256 is not null)
  )
);
comment on table public.message_uploads is
  'A file on its way into a message: nobody but who uploads it sees it, and nobody downloads it, before it was checked. Its id is the attachment''s.';
comment on column public.message_uploads.state is
  'waiting for the bytes; checking; clean: may be sent; refused; attached to a message; removed with it.';
comment on column public.message_uploads.refusal is
  'too_large, wrong_size, type_unknown, type_mismatch, broken, image_too_large or infected.';
comment on column public.message_uploads.scanned is 'Whether a scanner looked at it; without one the content was checked, but not for malware.';
comment on column public.message_uploads.expires_at is 'When it is thrown away unless a message has it by then.';

create index if not exists message_uploads_user_idx on public.message_uploads (user_id);
create index if not exists message_uploads_conversation_idx on public.message_uploads (conversation_id);
create index if not exists message_uploads_expiry_idx on public.message_uploads (expires_at) where state <> 'attached';

revoke all on public.message_uploads from public, anon, authenticated, service_role;
grant select on public.message_uploads to authenticated;
grant select, insert, update, delete on public.message_uploads to service_role;
alter table public.message_uploads enable row level security;

drop policy if exists message_uploads_select_own on public.message_uploads;
create policy message_uploads_select_own on public.message_uploads for select to authenticated
using (user_id = (select private.me()) and conversation_id = any ((select private.my_conversation_ids())::uuid[]));
comment on policy message_uploads_select_own on public.message_uploads is 'One''s own, while one takes part in the conversation.';

drop trigger if exists message_uploads_touch on public.message_uploads;
create trigger message_uploads_touch before update on public.message_uploads
for each row execute function private.touch_updated_at();

create or replace function public.begin_upload(p_conversation_id uuid, p_file_name text, p_file_size integer, p_file_type text)
returns public.message_uploads
language plpgsql
security definer
set search_path = ''
as $$
declare
  v_me constant uuid := private.me();
  v_upload public.message_uploads;
begin
  if not private.i_take_part(p_conversation_id) then
    perform private.fail(404, 'not_found', 'Not found.');
  end if;
  if p_file_name is null or char_length(p_file_name) not between 1 and 200 or p_file_name ~ '[/\\]' or not private.is_plain_line(p_file_name) then
    perform private.fail(422, 'file_name_invalid', 'A file''s name has 1 to 200 visible characters and no slashes.');
  end if;
  -- One person's uploads one after another, so that the count below holds.
  perform from public.users as u where u.id = v_me for no key update;
  if (select count(*) from public.message_uploads as x where x.user_id = v_me and x.state in ('waiting', 'checking', 'clean')) >= 50 then
    perform private.fail(409, 'too_many_uploads', 'Fifty files are waiting already. Send or drop some first.');
  end if;
  insert into public.message_uploads (user_id, conversation_id, file_name, declared_size, declared_type)
  values (v_me, p_conversation_id, p_file_name, p_file_size, p_file_type)
  returning * into v_upload;
  return v_upload;
end;
$$;
comment on function public.begin_upload(uuid, text, integer, text) is
  'security definer: nobody may insert uploads. Announces a file for a conversation of the caller.';
revoke execute on function public.begin_upload(uuid, text, integer, text) from public, anon, authenticated, service_role;
grant execute on function public.begin_upload(uuid, text, integer, text) to authenticated;

create or replace function public.finish_upload(p_id uuid)
returns public.message_uploads
language plpgsql
security definer
set search_path = ''
as $$
declare
  v_upload public.message_uploads;
begin
  select * into v_upload from public.message_uploads as x
  where x.id = p_id and x.user_id = private.me() and private.i_take_part(x.conversation_id)
  for no key update;
  if not found then
    perform private.fail(404, 'not_found', 'Not found.');
  end if;
  if v_upload.state = 'waiting' then
    update public.message_uploads as x set state = 'checking' where x.id = p_id returning * into v_upload;
    perform private.enqueue('messaging.check_upload', jsonb_build_object('upload_id', p_id));
  end if;
  return v_upload;
end;
$$;
comment on function public.finish_upload(uuid) is
  'security definer: nobody may update uploads. The caller''s file is there; from now on it is checked.';
revoke execute on function public.finish_upload(uuid) from public, anon, authenticated, service_role;
grant execute on function public.finish_upload(uuid) to authenticated;

create or replace function private.attach_uploads(p_message_id uuid, p_ids uuid[])
returns void
language plpgsql
security definer
set search_path = ''
as $$
declare
  v_message public.messages;
  v_attached integer;
begin
  -- Only while the message is being written: what was said does not get files later.
  select * into v_message from public.messages as m
  where m.id = p_message_id and m.sender_id = private.me() and m.created_at = now() and m.deleted_at is null;
  if not found then
    perform private.fail(404, 'not_found', 'Not found.');
  end if;
  with taken as (
    update public.message_uploads as x
    set state = 'attached'
    where x.id = any (p_ids) and x.user_id = v_message.sender_id and x.conversation_id = v_message.conversation_id and x.state = 'clean'
    returning x.*
  )
  insert into public.message_attachments (id, message_id, file_name, file_size, file_type, attachment_type, url)
  select t.id, p_message_id, t.file_name, t.file_size, t.file_type, t.attachment_type, '/v1/attachments/' || t.id || '/link'
  from taken as t;
  get diagnostics v_attached = row_count;
  if v_attached <> (select count(distinct id) from unnest(p_ids) as id) then
    perform private.fail(422, 'attachment_not_ready', 'A file is not yours, was not checked yet, was refused, or was sent already.');
  end if;
end;
$$;
comment on function private.attach_uploads(uuid, uuid[]) is
  'security definer: nobody may insert attachments. Puts the caller''s checked files into the message that they are sending.';
revoke execute on function private.attach_uploads(uuid, uuid[]) from public, anon, authenticated, service_role;
grant execute on function private.attach_uploads(uuid, uuid[]) to authenticated, service_role;

create or replace function private.remove_file()
returns trigger
language plpgsql
security definer
set search_path = ''
as $$
begin
  update public.message_uploads as x set state = 'removed' where x.id = old.id;
  if found then
    perform private.enqueue('messaging.remove_file', jsonb_build_object('upload_id', old.id));
  end if;
  return null;
end;
$$;
comment on function private.remove_file() is
  'security definer: writes uploads and the queue, which callers may not. Trigger: the file goes with its attachment.';
revoke execute on function private.remove_file() from public, anon, authenticated, service_role;

drop trigger if exists message_attachments_remove_file on public.message_attachments;
create trigger message_attachments_remove_file after delete on public.message_attachments
for each row execute function private.remove_file();
