-- Links in mail that act without signing in: one seat, one action, until the session starts, once.

create or replace function private.issue_links(p_attendee_id uuid)
returns jsonb
language plpgsql
volatile
security definer
set search_path = ''
as $$
declare
  v_seat public.session_attendees;
  v_session public.sessions;
  v_email text;
  v_action text;
  v_token text;
  v_links jsonb := '{}';
begin
  select * into v_seat from public.session_attendees where id = p_attendee_id;
  select * into v_session from public.sessions where id = v_seat.session_id;
  v_email := coalesce((select u.email from public.users as u where u.id = v_seat.user_id), v_seat.email);
  if v_session.status <> 'scheduled' or v_session.scheduled_at <= now() or v_seat.cancelled_at is not null
    or v_seat.role = 'coach' then
    return v_links;
  end if;
  foreach v_action in array case
    when v_seat.user_id = v_session.client_id and v_session.template_id is not null then array['move', 'cancel']
    when v_seat.status = 'invited' then array['confirm', 'decline']
    when v_seat.status = 'declined' then array['confirm']
    when v_seat.status = 'confirmed' then array['cancel']
    else '{}'::text[]
  end loop
    v_token := private.new_token();
    insert into private.access_links (token_hash, purpose, attendee_id, email, expires_at)
    values (private.token_hash(v_token), v_action, p_attendee_id, v_email, v_session.scheduled_at);
    v_links := v_links || jsonb_build_object(v_action, v_token);
  end loop;
  return v_links;
end;
$$;
revoke execute on function private.issue_links(uuid) from public, anon, authenticated, service_role;
comment on function private.issue_links(uuid) is
  'security definer: access_links is granted to nobody. New tokens for what the person of a seat can do now, by action, shown this once. Those of earlier letters stay good, since those may be the ones that are read.';

create or replace function private.link_by_token(p_token text)
returns private.access_links
language plpgsql
stable
security definer
set search_path = ''
as $$
declare
  v_link private.access_links;
begin
  select * into v_link from private.access_links where token_hash = private.token_hash(p_token);
  -- Giving up a seat revokes its links; the one that did it still shows that it did.
  if v_link.token_hash is null or (v_link.revoked_at is not null and v_link.used_at is null) then
    perform private.fail(404, 'not_found', 'There is no such thing, or it is not yours.');
  elsif v_link.expires_at <= now() then
    perform private.fail(410, 'link_expired', 'This link has expired.');
  end if;
  return v_link;
end;
$$;
revoke execute on function private.link_by_token(text) from public, anon, authenticated, service_role;
comment on function private.link_by_token(text) is
  'security definer: access_links is granted to nobody. What a token stands for; 404 for unknown and revoked ones, 410 for expired ones.';

create or replace function private.stand_in_for(p_user_id uuid)
returns text
language plpgsql
volatile
security definer
set search_path = ''
as $$
declare
  v_claims text := coalesce(current_setting('request.jwt.claims', true), '');
begin
  -- Whoever holds the token is the person whose seat it is: the same functions then ask the same questions as of
  -- somebody signed in.
  perform set_config(
    'request.jwt.claims', case when p_user_id is null then '' else jsonb_build_object('sub', p_user_id)::text end, true);
  if p_user_id is not null and private.me() is null then
    perform private.fail(404, 'not_found', 'There is no such thing, or it is not yours.');
  end if;
  return v_claims;
end;
$$;
revoke execute on function private.stand_in_for(uuid) from public, anon, authenticated, service_role;
comment on function private.stand_in_for(uuid) is
  'security definer: called by definer functions that have checked a token. From here on the transaction acts as that person (null: as nobody), until the claims that it gives are set again, which who calls it does before it ends; a refusal takes them back by itself.';

create or replace function public.link_by_token(p_token text)
returns json
language plpgsql
volatile
security definer
set search_path = ''
as $$
declare
  v_link private.access_links := private.link_by_token(p_token);
  v_seat public.session_attendees;
  v_claims text;
  v_answer json;
begin
  select * into v_seat from public.session_attendees where id = v_link.attendee_id;
  v_claims := private.stand_in_for(v_seat.user_id);
  select json_build_object(
    'action', v_link.purpose, 'used', v_link.used_at is not null,
    'open', v_link.used_at is null and s.status = 'scheduled' and s.scheduled_at > now() and v_seat.cancelled_at is null
      and v_seat.status <> 'checked_in',
    'title', s.title, 'description', s.description, 'starts_at', s.scheduled_at, 'ends_at', s.ends_at,
    'timezone', coalesce(u.timezone, s.timezone, 'UTC'), 'location', s.location, 'session_status', s.status,
    'status', v_seat.status, 'is_cancelled', v_seat.cancelled_at is not null, 'name', private.seat_name(v_seat),
    'coach_name', private.called(c.id), 'language', coalesce(u.language, c.language),
    'quote', case
      when v_link.purpose in ('move', 'cancel') and v_seat.user_id is not null and v_seat.cancelled_at is null
        then public.cancellation_quote(s.id)
    end)
  into v_answer
  from public.sessions as s
  join public.users as c on c.id = s.coach_id
  left join public.users as u on u.id = v_seat.user_id
  where s.id = v_seat.session_id;
  perform set_config('request.jwt.claims', v_claims, true);
  return v_answer;
end;
$$;
revoke execute on function public.link_by_token(text) from public, anon, authenticated, service_role;
grant execute on function public.link_by_token(text) to anon, authenticated;
comment on function public.link_by_token(text) is
  'security definer: whoever holds the token is not signed in. What a link would do and to which session, as its person may see it; it changes nothing, so a scanner of mail may call it.';

create or replace function public.slots_by_link(p_token text, p_from timestamptz, p_to timestamptz)
returns table (starts_at timestamptz, ends_at timestamptz)
language plpgsql
volatile
security definer
set search_path = ''
as $$
declare
  v_link private.access_links := private.link_by_token(p_token);
  v_session public.sessions;
  v_claims text;
begin
  if v_link.purpose <> 'move' then
    perform private.fail(404, 'not_found', 'There is no such thing, or it is not yours.');
  end if;
  select s.* into v_session from public.sessions as s
  join public.session_attendees as a on a.session_id = s.id where a.id = v_link.attendee_id;
  v_claims := private.stand_in_for(v_session.client_id);
  return query
    select f.starts_at, f.starts_at + make_interval(mins => v_session.duration_minutes)
    from public.free_slots(v_session.coach_id, v_session.template_id, p_from, p_to) as f;
  perform set_config('request.jwt.claims', v_claims, true);
end;
$$;
revoke execute on function public.slots_by_link(text, timestamptz, timestamptz) from public, anon, authenticated, service_role;
grant execute on function public.slots_by_link(text, timestamptz, timestamptz) to anon, authenticated;
comment on function public.slots_by_link(text, timestamptz, timestamptz) is
  'security definer: whoever holds the token is not signed in. Where the session behind a link that moves it could go: what free_slots offers its person.';

create or replace function private.give_up_guest_seat(p_attendee_id uuid, p_reason text)
returns void
language plpgsql
volatile
security definer
set search_path = ''
as $$
declare
  v_session public.sessions := private.session_of_seat(p_attendee_id);
begin
  update public.session_attendees as a
  set cancelled_at = now(), cancellation_reason = left(p_reason, 2000)
  where a.id = p_attendee_id and a.user_id is null and a.cancelled_at is null and a.status <> 'checked_in'
    and v_session.status = 'scheduled' and v_session.scheduled_at > now();
  if not found then
    perform private.fail(409, 'session_not_open', 'Seats are given up before the session.');
  end if;
end;
$$;
revoke execute on function private.give_up_guest_seat(uuid, text) from public, anon, authenticated, service_role;
comment on function private.give_up_guest_seat(uuid, text) is
  'security definer: called by definer functions that have checked a token. cancel_attendance for somebody who has no account to be asked by.';

create or replace function public.act_by_link(p_token text, p_starts_at timestamptz default null, p_reason text default null)
returns json
language plpgsql
volatile
security definer
set search_path = ''
as $$
declare
  v_link private.access_links := private.link_by_token(p_token);
  v_seat public.session_attendees;
  v_claims text;
begin
  if v_link.used_at is not null then
    perform private.fail(410, 'link_used', 'This link was used already.');
  end if;
  select * into v_seat from public.session_attendees where id = v_link.attendee_id;
  v_claims := private.stand_in_for(v_seat.user_id);
  if v_link.purpose in ('confirm', 'decline') then
    perform private.answer_seat(v_seat.id, case v_link.purpose when 'confirm' then 'confirmed' else 'declined' end);
  elsif v_link.purpose = 'move' then
    perform public.reschedule_session(v_seat.session_id, p_starts_at);
  elsif exists (select from public.sessions as s where s.id = v_seat.session_id and s.client_id = v_seat.user_id) then
    perform public.cancel_session(v_seat.session_id, p_reason);
  elsif v_seat.user_id is not null then
    perform public.cancel_attendance(p_session_id => v_seat.session_id, p_reason => p_reason);
  else
    perform private.give_up_guest_seat(v_seat.id, p_reason);
  end if;
  -- Last, since everything else locks the session, then the seat, then its links. Two at once went one after the other
  -- above; the second finds the link used, and takes back what it did.
  update private.access_links set used_at = now() where token_hash = v_link.token_hash and used_at is null;
  if not found then
    perform private.fail(410, 'link_used', 'This link was used already.');
  end if;
  perform set_config('request.jwt.claims', v_claims, true);
  return public.link_by_token(p_token);
end;
$$;
revoke execute on function public.act_by_link(text, timestamptz, text) from public, anon, authenticated, service_role;
grant execute on function public.act_by_link(text, timestamptz, text) to anon, authenticated;
comment on function public.act_by_link(text, timestamptz, text) is
  'security definer: whoever holds the token is not signed in. Does what the link is for (confirm, decline, move, cancel), once, through the functions that its signed-in person would use.';

create or replace function private.forget_expired_links()
returns integer
language plpgsql
volatile
security definer
set search_path = ''
as $$
declare
  v_count integer;
begin
  delete from private.access_links where expires_at < now() - interval '30 days';
  get diagnostics v_count = row_count;
  return v_count;
end;
$$;
revoke execute on function private.forget_expired_links() from public, anon, authenticated, service_role;
grant execute on function private.forget_expired_links() to service_role;
comment on function private.forget_expired_links() is
  'security definer: the worker''s housekeeping. Until then an old link says that it has expired. Gives the number forgotten.';
