-- The claim `role` of a token chooses the role in the database, and there is none called coach: with this hook no call went
-- through. What the person is goes into a claim of its own, read from the profile and never from what people write themselves.
do $$
declare
  hook record;
begin
  for hook in
    select p.oid::regprocedure as signature, pg_get_function_arguments(p.oid) as arguments, p.proname
    from pg_proc as p
    where p.pronamespace = 'public'::regnamespace and p.proname = 'custom_access_token_hook' and p.prokind = 'f'
      and p.pronargs = 1 and p.proargtypes[0] = 'jsonb'::regtype and p.prorettype = 'jsonb'::regtype
      and pg_has_role(current_user, p.proowner, 'member')
  loop
    execute format(
      $sql$
        create or replace function public.%I(%s) returns jsonb
        language sql stable security definer set search_path = '' as $f$
          select coalesce(
            (
              select jsonb_set($1, '{claims,user_role}', to_jsonb(u.role::text))
              from public.users as u
              where u.id::text = $1 ->> 'user_id' and jsonb_typeof($1 -> 'claims') = 'object'
            ),
            $1)
        $f$
      $sql$,
      hook.proname, hook.arguments);
    execute format('revoke execute on function %s from public, anon, authenticated', hook.signature);
  end loop;
end;
$$;
