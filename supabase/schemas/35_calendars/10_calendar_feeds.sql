-- Private addresses under which a calendar application reads somebody's sessions.

create table if not exists public.calendar_feeds (
  id uuid primary key default gen_random_uuid(),
  user_id uuid not null references public.users (id) on delete cascade,
  name text,
  token_hash text not null,
  created_at timestamptz not null default now(),
  last_read_at timestamptz,
  revoked_at timestamptz,
  content_hash text,
  content_changed_at timestamptz,
  constraint calendar_feeds_token_hash_key unique (token_hash),
  constraint calendar_feeds_token_hash_form check (token_hash ~ '^[0-9a-f]{64}$'),
  constraint calendar_feeds_name_length check (char_length(btrim(name)) between 1 and 100),
  constraint calendar_feeds_content_dated check ((content_hash is null) = (content_changed_at is null))
);
comment on table public.calendar_feeds is
  'Feeds of a person''s sessions for calendar applications, one row per address given out. The token in the address is stored as SHA-256 alone.';
comment on column public.calendar_feeds.name is 'Where the owner put the address: to know later which one to revoke.';
comment on column public.calendar_feeds.last_read_at is 'When it was last fetched, to the hour.';
comment on column public.calendar_feeds.content_changed_at is 'When a fetch first found content_hash: what Last-Modified says, and never twice the same second.';

create index if not exists calendar_feeds_user_idx on public.calendar_feeds (user_id, created_at);

revoke all on public.calendar_feeds from public, anon, authenticated, service_role;
grant select on public.calendar_feeds to service_role;
grant select (id, user_id, name, created_at, last_read_at, revoked_at) on public.calendar_feeds to authenticated;

alter table public.calendar_feeds enable row level security;

drop policy if exists calendar_feeds_select_own on public.calendar_feeds;
create policy calendar_feeds_select_own on public.calendar_feeds for select to authenticated
  using (user_id = (select private.me()));
comment on policy calendar_feeds_select_own on public.calendar_feeds is
  'Everybody sees which feeds of their own there are. Nobody else does, and an address can''t be read back.';

create or replace function public.create_calendar_feed(p_name text default null)
returns table (id uuid, token text)
language plpgsql
volatile
security definer
set search_path = ''
as $$
declare
  v_me uuid := private.me();
  v_token text := private.new_token();
begin
  if v_me is null then
    perform private.fail(401, 'not_authenticated', 'Sign in to make a feed.');
  end if;
  -- Counted under a lock, since two at once would both find room.
  perform from public.users as u where u.id = v_me for no key update;
  if (select count(*) from public.calendar_feeds as f where f.user_id = v_me and f.revoked_at is null) >= 20 then
    perform private.fail(409, 'too_many_feeds', 'There are twenty feeds already.', 'Revoke one that is not used any more.');
  end if;
  return query
    insert into public.calendar_feeds as f (user_id, name, token_hash)
    values (v_me, nullif(btrim(p_name), ''), private.token_hash(v_token))
    returning f.id, v_token;
end;
$$;
revoke execute on function public.create_calendar_feed(text) from public, anon, authenticated, service_role;
grant execute on function public.create_calendar_feed(text) to authenticated;
comment on function public.create_calendar_feed(text) is
  'security definer: nobody may insert feeds. A new private feed of the caller''s sessions, with its token, which is shown this once.';

create or replace function public.revoke_calendar_feed(p_feed_id uuid)
returns uuid
language plpgsql
volatile
security definer
set search_path = ''
as $$
begin
  update public.calendar_feeds set revoked_at = coalesce(revoked_at, now()) where id = p_feed_id and user_id = private.me();
  if not found then
    perform private.fail(404, 'not_found', 'There is no such thing, or it is not yours.');
  end if;
  return p_feed_id;
end;
$$;
revoke execute on function public.revoke_calendar_feed(uuid) from public, anon, authenticated, service_role;
grant execute on function public.revoke_calendar_feed(uuid) to authenticated;
comment on function public.revoke_calendar_feed(uuid) is
  'security definer: nobody may update feeds. The caller''s own feed answers no more, from this moment. Gives its id.';
