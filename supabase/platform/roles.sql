-- Roles that Supabase brings and plain PostgreSQL lacks. Idempotent; needs a superuser, or on PostgreSQL 16+ a role that
-- may create roles and bypass policies. Never part of a migration.
-- Roles belong to the whole server, so two databases may get here at once: losing that race is fine.
do $$
declare
  v_role text;
begin
  foreach v_role in array array['anon', 'authenticated'] loop
    if not exists (select from pg_catalog.pg_roles where rolname = v_role) then
      begin
        execute format('create role %I nologin noinherit', v_role);
      exception when duplicate_object or unique_violation then null;
      end;
    end if;
  end loop;
  if not exists (select from pg_catalog.pg_roles where rolname = 'service_role') then
    begin
      create role service_role nologin noinherit bypassrls;
    exception when duplicate_object or unique_violation then null;
    end;
  end if;
  -- Owns every table and runs migrations; neither superuser nor past the policies of others.
  if not exists (select from pg_catalog.pg_roles where rolname = 'loom_owner') then
    begin
      create role loom_owner nologin nosuperuser nobypassrls;
    exception when duplicate_object or unique_violation then null;
    end;
  end if;
  -- The application signs in as this one. It has no rights: forgetting to take a role fails closed.
  if not exists (select from pg_catalog.pg_roles where rolname = 'loom_api') then
    begin
      create role loom_api login noinherit nosuperuser nobypassrls;
    exception when duplicate_object or unique_violation then null;
    end;
  end if;
end
$$;

-- Granting takes a lock on the same rows of the catalogue in every database, so only what is missing is granted.
do $$
declare
  v_role text;
  v_database_owner text := (select pg_catalog.pg_get_userbyid(datdba)
                              from pg_catalog.pg_database where datname = current_database());
begin
  perform pg_catalog.pg_advisory_xact_lock(hashtext('loom.platform.roles'));
  foreach v_role in array array['anon', 'authenticated', 'service_role'] loop
    if not exists (
      select from pg_catalog.pg_auth_members m
       where m.roleid = v_role::regrole and m.member = 'loom_api'::regrole
    ) then
      execute format('grant %I to loom_api', v_role);
    end if;
  end loop;
  -- Whoever owns the database may migrate it: as loom_owner, so that tables never change hands.
  if not pg_catalog.pg_has_role(v_database_owner, 'loom_owner', 'member') then
    execute format('grant loom_owner to %I', v_database_owner);
  end if;
  execute format('grant all on database %I to loom_owner', current_database());
  grant all on schema public to loom_owner;
  grant usage on schema public to anon, authenticated, service_role;
end
$$;
