-- Messages that nobody wrote: what happened to a session or to money, kept as a kind with its data and put into words in
-- the reader's language and zone when it is read.

create or replace function private.system_words(p_kind text, p_language text)
returns text
language sql
immutable
security invoker
set search_path = ''
as $$
  select case p_language when 'he' then w.he else w.en end
  from (values
    ('session_booked', 'Booked: “{title}”, {when}.', 'נקבעה פגישה: „{title}”, {when}.'),
    ('session_moved', 'Moved: “{title}” is now on {when} (was {before}).', 'מועד הפגישה „{title}” שונה: {when} (היה {before}).'),
    ('session_cancelled', 'Cancelled: “{title}”, {when}.', 'הפגישה „{title}”, {when}, בוטלה.'),
    ('payment_received', 'Paid: {amount} {document}', 'התקבל תשלום: {amount} {document}')
  ) as w (kind, en, he)
  where w.kind = p_kind
$$;
comment on function private.system_words(text, text) is 'The sentence of a kind of system message, with {title}, {when}, {before}, {amount} and {document} to be filled in.';
revoke execute on function private.system_words(text, text) from public, anon, authenticated, service_role;

create or replace function private.system_text(p_metadata jsonb, p_reader uuid)
returns text
language plpgsql
stable
security definer
set search_path = ''
as $$
declare
  v_language text;
  v_zone text;
  v_text text;
begin
  select coalesce(u.language, 'en'), coalesce(u.timezone, 'UTC') into v_language, v_zone
  from public.users as u where u.id = p_reader;
  v_text := private.system_words(p_metadata ->> 'kind', v_language);
  v_text := replace(v_text, '{when}', coalesce(
    to_char((p_metadata ->> 'scheduled_at')::timestamptz at time zone v_zone, 'YYYY-MM-DD HH24:MI'), ''));
  v_text := replace(v_text, '{before}', coalesce(
    to_char((p_metadata ->> 'before')::timestamptz at time zone v_zone, 'YYYY-MM-DD HH24:MI'), ''));
  v_text := replace(v_text, '{amount}', coalesce(
    private.money_text((p_metadata ->> 'amount_cents')::bigint, p_metadata ->> 'currency'), ''));
  v_text := replace(v_text, '{document}', coalesce(p_metadata ->> 'document_number', ''));
  -- Last, since a title may hold anything, braces included.
  return btrim(replace(v_text, '{title}', coalesce(p_metadata ->> 'title', '')));
end;
$$;
comment on function private.system_text(jsonb, uuid) is
  'security definer: reads the reader''s language and zone. A system message in words.';
revoke execute on function private.system_text(jsonb, uuid) from public, anon, authenticated, service_role;

create or replace function private.say(p_conversation_ids uuid[], p_sender_id uuid, p_data jsonb)
returns void
language plpgsql
security definer
set search_path = ''
as $$
declare
  v_id uuid;
begin
  -- In one order everywhere: each message locks its conversation until the transaction ends.
  for v_id in select distinct unnest(p_conversation_ids) as id order by id loop
    insert into public.messages (conversation_id, sender_id, type, metadata) values (v_id, p_sender_id, 'system', p_data);
  end loop;
end;
$$;
comment on function private.say(uuid[], uuid, jsonb) is
  'security definer: no API role may write system messages. Writes one into each conversation, in the name of whoever caused it.';
revoke execute on function private.say(uuid[], uuid, jsonb) from public, anon, authenticated, service_role;

create or replace function private.direct_conversation_ids(p_one uuid, p_other uuid)
returns uuid[]
language sql
stable
security definer
set search_path = ''
as $$
  select coalesce(array_agg(c.id), '{}') from public.conversations as c where c.direct_key = private.pair_key(p_one, p_other)
$$;
comment on function private.direct_conversation_ids(uuid, uuid) is
  'security definer: finds a conversation whoever asks. The one conversation of a pair, if they have one.';
revoke execute on function private.direct_conversation_ids(uuid, uuid) from public, anon, authenticated, service_role;

create or replace function private.say_of_session(
  p_session public.sessions, p_kind text, p_sender_id uuid, p_before timestamptz default null
)
returns void
language plpgsql
security definer
set search_path = ''
as $$
declare
  v_conversations uuid[];
begin
  -- Into the session's own conversations; where it has none, into the one of its two people.
  select array_agg(x.conversation_id) into v_conversations
  from public.conversation_contexts as x
  where x.session_id = p_session.id;
  if v_conversations is null and p_session.client_id is not null then
    v_conversations := private.direct_conversation_ids(p_session.coach_id, p_session.client_id);
  end if;
  perform private.say(
    v_conversations, p_sender_id,
    jsonb_strip_nulls(jsonb_build_object(
      'kind', p_kind, 'session_id', p_session.id, 'title', p_session.title, 'scheduled_at', p_session.scheduled_at,
      'before', p_before)));
end;
$$;
comment on function private.say_of_session(public.sessions, text, uuid, timestamptz) is
  'security definer: no API role may write system messages. Says what became of a session where its people talk, in the name of whoever caused it.';
revoke execute on function private.say_of_session(public.sessions, text, uuid, timestamptz) from public, anon, authenticated, service_role;

create or replace function private.sessions_say()
returns trigger
language plpgsql
security definer
set search_path = ''
as $$
declare
  v_kind text;
begin
  -- Imports and jobs say nothing: only what people do is news.
  if not private.acting_as_api() then
    return null;
  end if;
  v_kind := case
    when tg_op = 'INSERT' then case when new.status = 'scheduled' then 'session_booked' end
    when new.status <> old.status and new.status = 'cancelled' then 'session_cancelled'
    when new.status = old.status and new.scheduled_at <> old.scheduled_at then 'session_moved'
  end;
  if v_kind is null then
    return null;
  end if;
  perform private.say_of_session(
    new, v_kind, coalesce(private.me(), new.coach_id), case v_kind when 'session_moved' then old.scheduled_at end);
  return null;
end;
$$;
comment on function private.sessions_say() is
  'security definer: no API role may write system messages. Trigger: a session that was booked, moved or cancelled says so where its people talk.';
revoke execute on function private.sessions_say() from public, anon, authenticated, service_role;

drop trigger if exists sessions_say on public.sessions;
create trigger sessions_say after insert or update of status, scheduled_at on public.sessions
for each row execute function private.sessions_say();

create or replace function private.payments_say()
returns trigger
language plpgsql
security definer
set search_path = ''
as $$
declare
  v_invoice public.invoices;
begin
  -- A gateway's word comes through the service role, as an update or with its intent; what an import inserts is no news.
  if new.status <> 'paid' or (tg_op = 'INSERT' and new.intent_id is null and not private.acting_as_api()) then
    return null;
  end if;
  select * into v_invoice from public.invoices as i where i.id = new.invoice_id;
  if v_invoice.user_id is not null and v_invoice.coach_id is not null then
    -- Money is between the two of them: never into a group.
    perform private.say(
      private.direct_conversation_ids(v_invoice.coach_id, v_invoice.user_id),
      coalesce(private.me(), v_invoice.user_id),
      jsonb_strip_nulls(jsonb_build_object(
        'kind', 'payment_received', 'payment_id', new.id, 'invoice_id', v_invoice.id, 'amount_cents', new.amount_cents,
        'currency', new.currency, 'document_number', v_invoice.document_number)));
  end if;
  return null;
end;
$$;
comment on function private.payments_say() is
  'security definer: no API role may write system messages. Trigger: money that came in is said where the two people talk.';
revoke execute on function private.payments_say() from public, anon, authenticated, service_role;

drop trigger if exists payments_say on public.payments;
create trigger payments_say after insert on public.payments
for each row execute function private.payments_say();
drop trigger if exists payments_say_paid on public.payments;
create trigger payments_say_paid after update of status on public.payments
for each row when (old.status <> 'paid' and new.status = 'paid' and old.status <> 'refunded')
execute function private.payments_say();
