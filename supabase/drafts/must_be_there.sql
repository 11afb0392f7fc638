do $$
declare
  problems text[] := '{}';
  missing text[];
begin
  select array_agg(name) into missing
  from unnest(array[
    'users', 'sessions', 'coach_notes', 'reflections', 'coach_availability', 'notifications', 'notification_preferences',
    'conversations', 'conversation_participants', 'messages', 'message_reactions', 'message_attachments',
    'message_read_receipts', 'typing_indicators', 'payments'
  ]) as name
  where to_regclass(format('public.%I', name)) is null;
  if missing is not null then
    problems := problems || format('base tables are missing (%s): run the migration before this one', array_to_string(missing, ', '));
  end if;

  -- An earlier line of Loom made invoices of its own, one per payment. Lines must not silently attach to those.
  if to_regclass('public.invoices') is not null then
    select array_agg(name) into missing
    from unnest(array['user_id', 'status', 'due_date', 'total_amount_cents', 'currency', 'issued_at', 'paid_at', 'metadata']) as name
    where not exists (
      select from pg_attribute as a
      where a.attrelid = to_regclass('public.invoices') and a.attname = name and not a.attisdropped);
    if missing is not null then
      problems := problems || format(
        'there is a table invoices of another shape (it lacks %s): rename it, for example to invoices_before_loom, and run this again',
        array_to_string(missing, ', '));
    end if;
  end if;

  -- Run statement by statement, the review's own SQL leaves tables without Loom's columns, and base tables without the review's.
  select array_agg(tbl order by tbl) into missing
  from (values
    ('session_templates', 'session_type'), ('session_attendees', 'coach_id'), ('invoice_line_items', 'line_total_cents'),
    ('payment_methods', 'detached_at'), ('payment_intents', 'provider'), ('message_mentions', 'conversation_id')
  ) as by_hand (tbl, col)
  where to_regclass(format('public.%I', tbl)) is not null and not exists (
    select from pg_attribute as a where a.attrelid = to_regclass(format('public.%I', tbl)) and a.attname = col and not a.attisdropped);
  if missing is not null then
    problems := problems || format(
      'tables of the review were made by hand, without what Loom adds (%s): drop those that hold nothing, rename the others, and run this again',
      array_to_string(missing, ', '));
  end if;

  if to_regclass('public.users') is not null then
    select array_agg(format('%s (%s times)', address, times)) into missing
    from (
      select lower(u.email) as address, count(*) as times from public.users as u group by 1 having count(*) > 1
    ) as doubled;
    if missing is not null then
      problems := problems || format('e-mail addresses of users differ only in case: %s', array_to_string(missing, ', '));
    end if;
  end if;

  if problems <> '{}' then
    raise exception using message = format('This database cannot be extended yet: %s.', array_to_string(problems, '; ')),
      hint = 'Nothing was changed.';
  end if;
end;
$$;
