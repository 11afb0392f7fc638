do $$
declare
  base_tables constant text[] := array[
    'users', 'sessions', 'coach_notes', 'reflections', 'coach_availability', 'notifications', 'notification_preferences',
    'conversations', 'conversation_participants', 'messages', 'message_reactions', 'message_attachments',
    'message_read_receipts', 'typing_indicators', 'payments'
  ];
  -- What an older application kept around sessions, messages and notices, in tables that Loom does not take over.
-- @include beside_tables
  -- Functions that answered for any user's id or wrote without asking, and that only the service has a reason to call. What
  -- policies elsewhere build on stays (is_admin and the like), and so does what belongs to other domains; what a person may call
  -- runs as that person from now on (cures/50_callers.sql).
  old_functions constant text[] := array[
    'is_time_slot_available', 'get_available_time_slots', 'send_notification', 'create_notification_from_template',
    'schedule_session_reminders', 'cleanup_old_notifications', 'get_or_create_direct_conversation',
    'mark_conversation_as_read', 'archive_old_messages', 'delete_archived_messages', 'comprehensive_database_cleanup',
    'update_user_auth_metadata', 'cleanup_expired_typing_indicators', 'get_user_invoices', 'get_invoice_details',
    'create_invoice_from_payment', 'mark_invoice_paid', 'get_user_subscription_tier', 'can_send_notification',
    'validate_user_role', 'validate_user_access', 'validate_session_access', 'check_suspicious_activity',
    'get_system_overview_metrics'
  ];
  item record;
begin
  for item in
    select p.polname, c.relname
    from pg_policy as p
    join pg_class as c on c.oid = p.polrelid
    where c.relnamespace = 'public'::regnamespace and c.relname = any (base_tables)
  loop
    execute format('drop policy %I on public.%I', item.polname, item.relname);
  end loop;

  for item in
    select t.tgname, c.relname
    from pg_trigger as t
    join pg_class as c on c.oid = t.tgrelid
    where c.relnamespace = 'public'::regnamespace and c.relname = any (base_tables) and not t.tgisinternal
      -- Second factors of an older application are outside what is replaced here.
      and t.tgname <> 'check_mfa_enforcement_trigger'
  loop
    execute format('drop trigger %I on public.%I', item.tgname, item.relname);
  end loop;

  -- What a build beside the work leaves when it is cut off: nobody reads it, and one of Loom's name would stand in its way.
  for item in
    select x.indexrelid::regclass as name
    from pg_index as x
    join pg_class as c on c.oid = x.indrelid
    where c.relnamespace = 'public'::regnamespace and c.relname = any (base_tables) and not x.indisvalid
      and not exists (select from pg_constraint as k where k.conindid = x.indexrelid)
  loop
    execute format('drop index %s', item.name);
  end loop;

  -- The sign-up trigger, whatever it is called: it trusted the role that the caller typed. One of Loom's name is replaced below.
  for item in
    select t.tgname, p.oid::regprocedure as signature
    from pg_trigger as t
    join pg_proc as p on p.oid = t.tgfoid
    where t.tgrelid = to_regclass('auth.users') and not t.tgisinternal
      and t.tgname not in ('on_auth_user_created', 'on_auth_user_changed')
      and p.pronamespace = 'public'::regnamespace
      and (p.proname = 'handle_new_user' or p.prosrc ~* 'insert\s+into\s+(public\.)?"?users\M')
  loop
    begin
      execute format('drop trigger %I on auth.users', item.tgname);
    exception
      when insufficient_privilege then
        -- auth.users may be somebody else's, the function behind the trigger is ours.
        execute format(
          'create or replace function %s returns trigger language plpgsql set search_path = '''' as $f$ begin return new; end $f$',
          item.signature);
    end;
  end loop;

  -- Dropping one that something outside still names would fail, so these lose their callers instead. Nobody who has not signed
  -- in calls any function that reads the three domains past their policies; those of Loom are granted anew by the files below.
  for item in
    select p.oid::regprocedure as signature, p.proname = any (old_functions) as listed,
      has_function_privilege('authenticated', p.oid, 'execute') as for_people
    from pg_proc as p
    where p.pronamespace = 'public'::regnamespace and p.prokind in ('f', 'p') and pg_has_role(current_user, p.proowner, 'member')
      and not exists (select from pg_depend as d where d.objid = p.oid and d.classid = 'pg_proc'::regclass and d.deptype = 'e')
      and not exists (
        select from pg_depend as d
        where d.refobjid = p.oid and d.refclassid = 'pg_proc'::regclass and d.classid = 'pg_policy'::regclass)
      and (p.proname = any (old_functions)
        or (p.prosecdef and p.prosrc ~* format('\m(%s)\M', array_to_string(base_tables || beside_tables, '|'))))
  loop
    execute format('revoke execute on routine %s from public, anon', item.signature);
    if item.listed then
      execute format('revoke execute on routine %s from authenticated', item.signature);
    elsif item.for_people then
      execute format('grant execute on routine %s to authenticated', item.signature);
    end if;
  end loop;

  -- Views that run as their owner showed every row to everybody; a view on such a view does the same.
  for item in
    with recursive reader (oid) as (
      select c.oid
      from pg_class as c
      where c.relnamespace = 'public'::regnamespace and c.relname = any (base_tables || beside_tables)
      union
      select r.ev_class
      from reader
      join pg_depend as d
        on d.refobjid = reader.oid and d.classid = 'pg_rewrite'::regclass and d.refclassid = 'pg_class'::regclass
      join pg_rewrite as r on r.oid = d.objid
    )
    select c.oid::regclass as name, c.relkind
    from reader
    join pg_class as c on c.oid = reader.oid
    where c.relnamespace = 'public'::regnamespace and c.relkind in ('v', 'm') and pg_has_role(current_user, c.relowner, 'member')
  loop
    if item.relkind = 'v' then
      execute format('alter view %s set (security_invoker = true)', item.name);
      execute format('revoke all on %s from public, anon', item.name);
    else
      -- A materialized view has no policies at all.
      execute format('revoke all on %s from public, anon, authenticated', item.name);
    end if;
  end loop;
end;
$$;
