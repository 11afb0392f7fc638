-- Invitations answered without signing in.

create or replace function private.issue_invitation_link(p_attendee_id uuid)
returns table (
  token text, email text, recipient_name text, language public.language, coach_name text, title text,
  starts_at timestamptz, ends_at timestamptz, timezone text, location text
)
language plpgsql
volatile
security definer
set search_path = ''
as $$
declare
  v_token text;
begin
  -- Two random uuids carry 244 random bits; hashing them together gives a token without structure.
  v_token := encode(sha256(uuid_send(gen_random_uuid()) || uuid_send(gen_random_uuid())), 'hex');
  insert into private.access_links (token_hash, purpose, attendee_id, email, expires_at)
  select encode(sha256(convert_to(v_token, 'UTF8')), 'hex'), 'invitation', a.id, coalesce(u.email, a.email), s.scheduled_at
  from public.session_attendees as a
  join public.sessions as s on s.id = a.session_id
  left join public.users as u on u.id = a.user_id
  where a.id = p_attendee_id and a.cancelled_at is null and a.status <> 'declined' and a.role <> 'coach'
    and s.status = 'scheduled' and s.scheduled_at > now() and coalesce(u.email, a.email) is not null;
  if not found then
    return;
  end if;
  return query
    select
      v_token, coalesce(u.email, a.email), private.seat_name(a), coalesce(u.language, c.language),
      coalesce(nullif(btrim(concat_ws(' ', c.first_name, c.last_name)), ''), 'Loom'), s.title,
      s.scheduled_at, s.ends_at, coalesce(u.timezone, s.timezone, 'UTC'), s.location
    from public.session_attendees as a
    join public.sessions as s on s.id = a.session_id
    join public.users as c on c.id = s.coach_id
    left join public.users as u on u.id = a.user_id
    where a.id = p_attendee_id;
end;
$$;
revoke execute on function private.issue_invitation_link(uuid) from public, anon, authenticated, service_role;
grant execute on function private.issue_invitation_link(uuid) to service_role;
comment on function private.issue_invitation_link(uuid) is
  'security definer: access_links is granted to nobody. For the mail job: a new token of an open invitation, shown this once and stored as a hash, with what the letter says. No row when there is nothing left to send.';

create or replace function private.redeem_invitation_link(p_token text)
returns uuid
language plpgsql
volatile
security definer
set search_path = ''
as $$
declare
  v_link private.access_links;
begin
  select * into v_link from private.access_links
  where token_hash = encode(sha256(convert_to(p_token, 'UTF8')), 'hex') and purpose = 'invitation' and revoked_at is null;
  if v_link.token_hash is null then
    perform private.fail(404, 'not_found', 'There is no such thing, or it is not yours.');
  elsif v_link.expires_at <= now() then
    perform private.fail(410, 'link_expired', 'This link has expired.');
  end if;
  return v_link.attendee_id;
end;
$$;
revoke execute on function private.redeem_invitation_link(text) from public, anon, authenticated, service_role;
comment on function private.redeem_invitation_link(text) is
  'security definer: access_links is granted to nobody. The seat that a token stands for; 404 for unknown and revoked ones, 410 for expired ones.';

create or replace function public.invitation_by_link(p_token text)
returns json
language plpgsql
volatile
security definer
set search_path = ''
as $$
declare
  v_attendee_id uuid := private.redeem_invitation_link(p_token);
begin
  return (
    select json_build_object(
      'title', s.title, 'description', s.description, 'starts_at', s.scheduled_at, 'ends_at', s.ends_at,
      'timezone', s.timezone, 'location', s.location, 'session_status', s.status, 'status', a.status,
      'coach_name', nullif(btrim(concat_ws(' ', c.first_name, c.last_name)), ''), 'name', private.seat_name(a),
      'language', coalesce(u.language, c.language))
    from public.session_attendees as a
    join public.sessions as s on s.id = a.session_id
    join public.users as c on c.id = s.coach_id
    left join public.users as u on u.id = a.user_id
    where a.id = v_attendee_id
  );
end;
$$;
revoke execute on function public.invitation_by_link(text) from public, anon, authenticated, service_role;
grant execute on function public.invitation_by_link(text) to anon, authenticated;
comment on function public.invitation_by_link(text) is
  'security definer: whoever holds the token is not signed in. What the invitation behind a link is about.';

create or replace function public.respond_by_link(p_token text, p_answer text)
returns json
language plpgsql
volatile
security definer
set search_path = ''
as $$
begin
  perform private.answer_seat(private.redeem_invitation_link(p_token), p_answer);
  update private.access_links set used_at = now()
  where token_hash = encode(sha256(convert_to(p_token, 'UTF8')), 'hex') and used_at is null;
  return public.invitation_by_link(p_token);
end;
$$;
revoke execute on function public.respond_by_link(text, text) from public, anon, authenticated, service_role;
grant execute on function public.respond_by_link(text, text) to anon, authenticated;
comment on function public.respond_by_link(text, text) is
  'security definer: whoever holds the token is not signed in. The answer (confirmed or declined) of the invited person; may be changed until the session starts.';
