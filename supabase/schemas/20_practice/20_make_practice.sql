create or replace function private.ensure_practice(p_coach_id uuid)
returns uuid
language plpgsql
security definer
set search_path = ''
as $$
declare
  the_practice uuid;
  coach public.users%rowtype;
begin
  select * into coach from public.users as u where u.id = p_coach_id for no key update;
  select m.practice_id into the_practice from public.practice_members as m where m.user_id = p_coach_id;
  if the_practice is not null or coach.id is null then
    return the_practice;
  end if;
  insert into public.practices (name, email, timezone, language)
  values (
    left(coalesce(nullif(btrim(concat_ws(' ', coach.first_name, coach.last_name)), ''), split_part(coach.email, '@', 1), 'Practice'), 200),
    left(coach.email, 320),
    -- UTC is what a profile says that nobody has touched.
    case when coalesce(coach.timezone, 'UTC') = 'UTC' then 'Asia/Jerusalem' else coach.timezone end,
    coach.language
  )
  returning id into the_practice;
  insert into public.practice_members (practice_id, user_id, role) values (the_practice, p_coach_id, 'owner');
  return the_practice;
end;
$$;
comment on function private.ensure_practice(uuid) is
  'security definer: nobody may insert practices. The practice of a coach, made when there is none.';
revoke execute on function private.ensure_practice(uuid) from public, anon, authenticated, service_role;
grant execute on function private.ensure_practice(uuid) to service_role;

create or replace function private.make_practice_of_coach()
returns trigger
language plpgsql
security definer
set search_path = ''
as $$
begin
  perform private.ensure_practice(new.id);
  return null;
end;
$$;
comment on function private.make_practice_of_coach() is
  'security definer: nobody may insert practices. Trigger: every coach has a practice from the first moment.';
revoke execute on function private.make_practice_of_coach() from public, anon, authenticated, service_role;

drop trigger if exists users_make_practice on public.users;
create trigger users_make_practice after insert or update of role on public.users
for each row when (new.role = 'coach') execute function private.make_practice_of_coach();
