-- What a feed shows, and whether it has changed since it was last fetched.

create or replace function private.calendar_begins()
returns timestamptz
language sql
stable
security invoker
set search_path = ''
as $$
  -- From the first of a month, so that the answer does not change with each hour.
  select date_trunc('month', now()) - interval '12 months';
$$;
revoke execute on function private.calendar_begins() from public, anon, authenticated, service_role;
comment on function private.calendar_begins() is 'Since when feeds show sessions: a year back.';

create or replace function private.calendar_entries(p_user_id uuid)
returns table (
  uid uuid, starts_at timestamptz, ends_at timestamptz, changed_at timestamptz, title text, with_name text, is_coach boolean,
  seats_taken integer, capacity integer, location text, meeting_url text, description text, state text
)
language sql
stable
security definer
set search_path = ''
as $$
  -- The newest come first, should there be more than a calendar application can bear.
  with given as (
    (
      select s as session, null::public.session_attendees as seat
      from public.sessions as s
      where s.coach_id = p_user_id and s.scheduled_at >= (select private.calendar_begins())
      order by s.scheduled_at desc, s.id desc
      limit 5000
    )
    union all
    (
      select s, a
      from public.session_attendees as a
      join public.sessions as s on s.id = a.session_id
      where a.user_id = p_user_id and a.role <> 'coach' and a.status <> 'declined'
        and s.scheduled_at >= (select private.calendar_begins())
      order by s.scheduled_at desc, s.id desc
      limit 5000
    )
  )
  select
    -- A seat is an event of its own: what one attendee's calendar does to it touches no other's.
    coalesce((g.seat).id, (g.session).id), (g.session).scheduled_at, (g.session).ends_at,
    greatest((g.session).updated_at, (g.seat).updated_at), (g.session).title,
    coalesce(c.display_name, nullif(btrim(concat_ws(' ', u.first_name, u.last_name)), '')),
    (g.seat).id is null,
    case when (g.seat).id is null and (g.session).type = 'group' then (
      select count(*)::integer from public.session_attendees as a
      where a.session_id = (g.session).id and private.takes_a_place(a.role, a.status, a.cancelled_at)
    ) end,
    case when (g.seat).id is null then (g.session).capacity end,
    (g.session).location, (g.session).meeting_url, (g.session).description,
    case
      when (g.session).status in ('cancelled', 'rescheduled') or (g.seat).cancelled_at is not null then 'cancelled'
      when (g.seat).status = 'invited' then 'tentative'
      else 'confirmed'
    end
  from given as g
  left join public.users as u
    on u.id = case when (g.seat).id is null then (g.session).client_id else (g.session).coach_id end
  left join public.coach_clients as c
    on (g.seat).id is null and c.coach_id = (g.session).coach_id and c.client_id = (g.session).client_id
  order by (g.session).scheduled_at desc, 1
  limit 5000;
$$;
revoke execute on function private.calendar_entries(uuid) from public, anon, authenticated, service_role;
comment on function private.calendar_entries(uuid) is
  'security definer: called by definer functions that know whose feed it is. The sessions that a person coaches or has a seat in, from a year ago on, at most 5000. Other attendees are counted, never named.';

create or replace function private.feed_by_token(p_token text)
returns public.calendar_feeds
language plpgsql
stable
security definer
set search_path = ''
as $$
declare
  v_feed public.calendar_feeds;
begin
  select f.* into v_feed
  from public.calendar_feeds as f
  join public.users as u on u.id = f.user_id and u.status = 'active'
  where f.token_hash = private.token_hash(p_token);
  if v_feed.id is null then
    perform private.fail(404, 'not_found', 'There is no such thing, or it is not yours.');
  elsif v_feed.revoked_at is not null then
    perform private.fail(410, 'feed_revoked', 'This feed was revoked.', 'Take it out of the calendar, or make a new one.');
  end if;
  return v_feed;
end;
$$;
revoke execute on function private.feed_by_token(text) from public, anon, authenticated, service_role;
comment on function private.feed_by_token(text) is
  'security definer: called by definer functions. The feed of an active person that a token stands for; 404 for an unknown one, 410 for a revoked one.';

create or replace function private.calendar_fingerprint(p_user_id uuid)
returns text
language sql
stable
security definer
set search_path = ''
as $$
  -- How many rows there are, and the sum and the latest of their times of change: a row that is added, changed or taken
  -- away moves one of them. What the rows say is not read, so asking costs little while nothing has changed.
  with coached as (
    select s.id, s.updated_at, s.client_id, s.type from public.sessions as s
    where s.coach_id = p_user_id and s.scheduled_at >= (select private.calendar_begins())
  ), attended as (
    select s.updated_at, a.updated_at as seat_updated_at, s.coach_id
    from public.session_attendees as a
    join public.sessions as s on s.id = a.session_id
    where a.user_id = p_user_id and a.role <> 'coach'
      and s.scheduled_at >= (select private.calendar_begins())
  ), changes (part, at) as (
    select 1, updated_at from coached
    union all select 2, updated_at from attended
    union all select 3, seat_updated_at from attended
    union all
    select 4, a.updated_at from coached as s
    join public.session_attendees as a on a.session_id = s.id where s.type = 'group' and a.role <> 'coach'
    union all
    select 5, u.updated_at from public.users as u
    where u.id = p_user_id or u.id in (select client_id from coached union select coach_id from attended)
    union all
    select 6, c.updated_at from public.coach_clients as c
    where c.coach_id = p_user_id and c.client_id in (select client_id from coached)
  )
  select md5(string_agg(concat_ws(' ', part, number, sum, latest), '|' order by part))
  from (select part, count(*) as number, sum(extract(epoch from at)) as sum, max(at) as latest from changes group by part) as p;
$$;
revoke execute on function private.calendar_fingerprint(uuid) from public, anon, authenticated, service_role;
comment on function private.calendar_fingerprint(uuid) is
  'security definer: called by definer functions that know whose feed it is. Changes whenever calendar_entries does.';

create or replace function public.calendar_feed_state(p_token text)
returns table (content_hash text, changed_at timestamptz, name text, language public.language, timezone text)
language plpgsql
volatile
security definer
set search_path = ''
as $$
declare
  v_feed public.calendar_feeds := private.feed_by_token(p_token);
  v_user public.users;
  v_hash text;
begin
  select * into v_user from public.users as u where u.id = v_feed.user_id;
  -- Whose own row counts too, so there is always something.
  v_hash := private.calendar_fingerprint(v_feed.user_id);
  if v_hash is distinct from v_feed.content_hash or v_feed.last_read_at is null
    or v_feed.last_read_at < now() - interval '1 hour' then
    -- Dates of HTTP count seconds: a change within the second of the last one is dated a second later.
    update public.calendar_feeds as f
    set
      last_read_at = now(),
      content_changed_at = case
        when v_hash is distinct from f.content_hash
          then greatest(date_trunc('second', now()), f.content_changed_at + interval '1 second')
        else f.content_changed_at
      end,
      content_hash = v_hash
    where f.id = v_feed.id
    returning f.* into v_feed;
  end if;
  return query
    select v_hash, v_feed.content_changed_at, private.called(v_user.id), v_user.language, v_user.timezone::text;
end;
$$;
revoke execute on function public.calendar_feed_state(text) from public, anon, authenticated, service_role;
grant execute on function public.calendar_feed_state(text) to anon, authenticated;
comment on function public.calendar_feed_state(text) is
  'security definer: a calendar application is not signed in. What tells whether a feed has changed: a hash of what it shows, and since when it is so.';

create or replace function public.calendar_feed_entries(p_token text)
returns table (
  uid uuid, starts_at timestamptz, ends_at timestamptz, changed_at timestamptz, title text, with_name text, is_coach boolean,
  seats_taken integer, capacity integer, location text, meeting_url text, description text, state text
)
language plpgsql
stable
security definer
set search_path = ''
as $$
begin
  return query
    select * from private.calendar_entries((private.feed_by_token(p_token)).user_id) as e order by e.starts_at, e.uid;
end;
$$;
revoke execute on function public.calendar_feed_entries(text) from public, anon, authenticated, service_role;
grant execute on function public.calendar_feed_entries(text) to anon, authenticated;
comment on function public.calendar_feed_entries(text) is
  'security definer: a calendar application is not signed in. What a feed shows, by start: the owner''s own sessions and seats.';
