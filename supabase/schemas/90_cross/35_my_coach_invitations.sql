create or replace function public.my_coach_invitations()
returns table (id uuid, coach_id uuid, coach_name text, practice_name text, invited_at timestamptz)
language sql
stable
security definer
set search_path = ''
as $$
  select
    c.id, c.coach_id,
    coalesce(nullif(btrim(concat_ws(' ', u.first_name, u.last_name)), ''), p.name),
    p.name, c.invited_at
  from public.coach_clients as c
  join public.users as u on u.id = c.coach_id and u.status = 'active'
  left join public.practice_members as m on m.user_id = c.coach_id
  left join public.practices as p on p.id = m.practice_id
  where c.status = 'invited'
    and c.coach_id <> private.me()
    and (c.client_id = private.me() or (c.client_id is null and lower(c.email) = private.my_verified_email()))
  order by c.invited_at desc, c.id
$$;
comment on function public.my_coach_invitations() is
  'security definer: a coach''s profile is not readable before the relation stands. The invitations that wait for the caller''s answer, by account or proven address, with names only.';
revoke execute on function public.my_coach_invitations() from public, anon, authenticated, service_role;
grant execute on function public.my_coach_invitations() to authenticated;
