create or replace function private.seat_name(p_seat public.session_attendees)
returns text
language sql
stable
security definer
set search_path = ''
as $$
  -- Never the e-mail address, which would tell the others how to reach somebody.
  select coalesce(
    p_seat.display_name,
    (select nullif(btrim(concat_ws(' ', u.first_name, u.last_name)), '') from public.users as u where u.id = p_seat.user_id),
    case p_seat.role when 'guest' then 'Guest' when 'client' then 'Client' else 'Coach' end
  );
$$;
revoke execute on function private.seat_name(public.session_attendees) from public, anon, authenticated, service_role;
comment on function private.seat_name(public.session_attendees) is
  'security definer: reads the profile of a person that the caller may not. What a seat''s person is called among the others.';

create or replace function public.session_roster(p_session_id uuid)
returns table (name text, role public.session_attendee_role, is_me boolean)
language plpgsql
stable
security definer
set search_path = ''
as $$
declare
  v_me uuid := private.me();
  v_session public.sessions;
  v_all boolean;
begin
  select * into v_session from public.sessions where id = p_session_id;
  v_all := v_session.coach_id = v_me or private.i_am_admin();
  if v_session.id is null or not coalesce(v_all, false) and not exists (
    select from public.session_attendees as a
    where a.session_id = p_session_id and a.user_id = v_me and a.cancelled_at is null
  ) then
    perform private.fail(404, 'not_found', 'There is no such thing, or it is not yours.');
  end if;
  -- Where the roster is closed, attendees get the coach and themselves, whom they know.
  return query
    select private.seat_name(a), a.role, a.user_id is not distinct from v_me
    from public.session_attendees as a
    where a.session_id = p_session_id and a.cancelled_at is null and a.status <> 'declined'
      and (v_all or v_session.roster_visible or a.role = 'coach' or a.user_id = v_me)
    order by a.role <> 'coach', private.seat_name(a), a.id;
end;
$$;
revoke execute on function public.session_roster(uuid) from public, anon, authenticated, service_role;
grant execute on function public.session_roster(uuid) to authenticated;
comment on function public.session_roster(uuid) is
  'security definer: other people''s seats are not for attendees to read. Names of who takes part, never prices, addresses or notes: of all for the coach, and for attendees where the session shows its roster.';

create or replace function public.active_coaches(p_after_name text default null, p_after_id uuid default null, p_limit integer default 50)
returns table (id uuid, name text)
language plpgsql
stable
security definer
set search_path = ''
as $$
begin
  if private.acting_as_api() and private.me() is null then
    perform private.fail(401, 'not_authenticated', 'Sign in to see the coaches.');
  end if;
  return query
    select c.id, c.name
    from (
      select u.id, coalesce(nullif(btrim(concat_ws(' ', u.first_name, u.last_name)), ''), 'Coach') as name
      from public.users as u
      where u.role = 'coach' and u.status = 'active'
    ) as c
    where p_after_id is null or (c.name, c.id) > (p_after_name, p_after_id)
    order by c.name, c.id
    limit least(greatest(p_limit, 1), 201);
end;
$$;
revoke execute on function public.active_coaches(text, uuid, integer) from public, anon, authenticated, service_role;
grant execute on function public.active_coaches(text, uuid, integer) to authenticated;
comment on function public.active_coaches(text, uuid, integer) is
  'security definer: profiles of coaches are not for everybody to read. Names of the coaches who can be booked, by name, after a given one.';
