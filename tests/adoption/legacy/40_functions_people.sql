-- Accounts and roles: sign-up believes what the caller typed, the token hook breaks the role, a change of role always fails.

create function public.update_updated_at_column() returns trigger language plpgsql as $$
begin
  new.updated_at = now();
  return new;
end $$;

create function public.handle_new_user() returns trigger language plpgsql security definer as $$
begin
  if exists (select from public.users where email = new.email) then
    return new;
  end if;
  insert into public.users (id, email, role, first_name, last_name, phone, language)
  values (
    new.id, new.email, coalesce((new.raw_user_meta_data ->> 'role')::public.user_role, 'client'),
    new.raw_user_meta_data ->> 'first_name', new.raw_user_meta_data ->> 'last_name', new.raw_user_meta_data ->> 'phone',
    coalesce((new.raw_user_meta_data ->> 'language')::public.language, 'en'));
  return new;
end $$;
create trigger on_auth_user_created after insert on auth.users for each row execute function public.handle_new_user();

create function public.update_user_last_seen() returns trigger language plpgsql security definer as $$
begin
  update public.users set last_seen_at = now() where id = new.id;
  return new;
end $$;

create function public.update_user_auth_metadata(user_id uuid, role text) returns void language plpgsql security definer as $$
begin
  update auth.users
  set raw_user_meta_data = coalesce(raw_user_meta_data, '{}') || jsonb_build_object('role', $2)
  where id = $1;
end $$;

-- An enum where text is asked for: no such function.
create function public.handle_user_role_change() returns trigger language plpgsql security definer as $$
begin
  if old.role is distinct from new.role then
    perform public.update_user_auth_metadata(new.id, new.role);
  end if;
  return new;
end $$;
create trigger trigger_user_role_change after update on public.users
for each row execute function public.handle_user_role_change();
create trigger update_users_updated_at before update on public.users
for each row execute function public.update_updated_at_column();

create function public.check_mfa_enforcement() returns trigger language plpgsql security definer as $$
begin
  if new.role = 'admin' and not coalesce(new.mfa_enabled, false) then
    raise notice 'admins should set up a second factor';
  end if;
  return new;
end $$;
create trigger check_mfa_enforcement_trigger after insert or update of role on public.users
for each row execute function public.check_mfa_enforcement();

-- The claim `role` chooses the database role, and there is none called coach.
create function public.custom_access_token_hook(event jsonb) returns jsonb language plpgsql stable security definer as $$
declare
  found public.user_role;
begin
  select u.role into found from public.users as u where u.id = (event ->> 'user_id')::uuid;
  if found is not null then
    event := jsonb_set(event, '{claims,role}', to_jsonb(found::text));
  end if;
  return event;
end $$;

create function public.is_admin() returns boolean language sql stable security definer as $$
  select coalesce(auth.jwt() ->> 'role', '') = 'admin'
$$;
create function public.is_admin(user_id uuid default auth.uid()) returns boolean language sql stable security definer as $$
  select exists (select from public.users as u where u.id = $1 and u.role = 'admin')
$$;
create function public.is_coach() returns boolean language sql stable security definer as $$
  select coalesce(auth.jwt() ->> 'role', '') = 'coach'
$$;
create function public.is_client() returns boolean language sql stable security definer as $$
  select coalesce(auth.jwt() ->> 'role', '') = 'client'
$$;
create function public.get_user_role() returns text language sql stable security definer as $$
  select auth.jwt() ->> 'role'
$$;

create function public.validate_user_role(user_id uuid, required_role public.user_role) returns boolean
language plpgsql security definer as $$
declare
  allowed boolean;
begin
  select exists (select from public.users as u where u.id = $1 and u.role = $2) into allowed;
  insert into public.security_audit_log (user_id, resource, details)
  values ($1, 'role', jsonb_build_object('allowed', allowed));
  return allowed;
end $$;
create function public.validate_user_access(user_id uuid, target_user_id uuid) returns boolean
language plpgsql security definer as $$
declare
  allowed boolean;
begin
  select $1 = $2 or exists (
    select from public.sessions as s where ($1, $2) in ((s.coach_id, s.client_id), (s.client_id, s.coach_id))
  ) into allowed;
  insert into public.security_audit_log (user_id, resource, details)
  values ($1, 'user', jsonb_build_object('allowed', allowed));
  return allowed;
end $$;
create function public.check_suspicious_activity(user_id uuid, time_window interval default '1 hour') returns jsonb
language plpgsql security definer as $$
declare
  events integer;
begin
  select count(*) into events from public.security_audit_log
  where user_id = user_id and created_at > now() - time_window;
  return jsonb_build_object('events', events, 'risk', least(events, 100));
end $$;

create function public.db_health_check() returns jsonb language sql stable security definer as $$
  select jsonb_build_object(
    'signup_trigger', exists (select from pg_trigger where tgname = 'on_auth_user_created'),
    'users_rls', (select relrowsecurity from pg_class where oid = 'public.users'::regclass),
    'payments_rls', (select relrowsecurity from pg_class where oid = 'public.payments'::regclass))
$$;
create function public.get_database_statistics() returns table (table_name text, row_count bigint)
language plpgsql security definer as $$
begin
  return query select s.tablename::text, s.n_live_tup from pg_stat_user_tables as s;
end $$;
create function public.comprehensive_database_cleanup(dry_run boolean default true) returns integer
language plpgsql security definer as $$
declare
  found integer;
begin
  select count(*) into found from public.notifications where expires_at < now();
  if not dry_run then
    delete from public.notifications where expires_at < now();
    delete from public.security_audit_log where created_at < now() - interval '1 year';
  end if;
  return found;
end $$;
