create or replace function public.register_push_subscription(
  p_endpoint text, p_p256dh text, p_auth text, p_label text default null
)
returns uuid
language plpgsql
security definer
set search_path = ''
as $$
declare
  v_me uuid := private.me();
  v_id uuid;
  v_first boolean;
begin
  if v_me is null then
    perform private.fail(404, 'not_found', 'Not found.');
  end if;
  -- One person's registrations one after another, so that the count below holds.
  perform from public.users as u where u.id = v_me for no key update;
  v_first := not exists (
    select from public.push_subscriptions as s where s.user_id = v_me and s.retired_at is null
  );
  -- A browser keeps its address when somebody else signs in on it; from then on its notices are theirs alone.
  insert into public.push_subscriptions as s (user_id, endpoint, p256dh, auth, label)
  values (v_me, p_endpoint, p_p256dh, p_auth, p_label)
  on conflict (endpoint) do update
  set
    user_id = excluded.user_id, p256dh = excluded.p256dh, auth = excluded.auth, label = excluded.label,
    retired_at = null, retired_reason = null
  returning s.id into v_id;
  update public.push_subscriptions as s
  set retired_at = now(), retired_reason = 'replaced'
  where s.id in (
    select o.id
    from public.push_subscriptions as o
    where o.user_id = v_me and o.retired_at is null and o.id <> v_id
    order by o.updated_at desc
    offset 19
  );
  if v_first then
    -- The browser has just asked the person; a switch that is off from the start would make that question a lie.
    insert into public.notification_preferences (user_id, push_enabled, push_messages, push_session_reminders)
    values (v_me, true, true, true)
    on conflict (user_id) do update
    set push_enabled = true, push_messages = true, push_session_reminders = true;
  end if;
  return v_id;
end;
$$;
comment on function public.register_push_subscription(text, text, text, text) is
  'security definer: takes an address over from whoever used the browser before. The caller''s device takes notices from now on; the first one switches them on.';
revoke execute on function public.register_push_subscription(text, text, text, text) from public, anon, authenticated, service_role;
grant execute on function public.register_push_subscription(text, text, text, text) to authenticated;

create or replace function public.remove_push_subscription(p_id uuid)
returns void
language plpgsql
security definer
set search_path = ''
as $$
begin
  update public.push_subscriptions as s
  set retired_at = coalesce(s.retired_at, now()), retired_reason = coalesce(s.retired_reason, 'removed')
  where s.id = p_id and s.user_id = private.me();
  if not found then
    perform private.fail(404, 'not_found', 'Not found.');
  end if;
end;
$$;
comment on function public.remove_push_subscription(uuid) is
  'security definer: nobody may update devices. Nothing is sent to the caller''s device any more.';
revoke execute on function public.remove_push_subscription(uuid) from public, anon, authenticated, service_role;
grant execute on function public.remove_push_subscription(uuid) to authenticated;
