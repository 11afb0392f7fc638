create or replace function private.record_bounce(
  p_delivery_id uuid, p_address text, p_permanent boolean, p_detail text
)
returns text
language plpgsql
security definer
set search_path = ''
as $$
declare
  v_recipient_id uuid;
begin
  -- Anybody can write a report. What it must name is the id of a mail that only its reader and the servers on its way know:
  -- one about messages, or a notice.
  select d.recipient_id into v_recipient_id
  from public.message_deliveries as d
  where d.mail_id = p_delivery_id
  limit 1;
  if not found then
    select d.user_id into v_recipient_id
    from public.notification_deliveries as d
    where d.id = p_delivery_id and d.channel = 'email';
  end if;
  if not found then
    return 'unknown';
  end if;
  if not p_permanent then
    return 'delayed';
  end if;
  update public.message_deliveries as d
  set state = 'failed', reason = 'bounced', error_message = left(p_detail, 500), sent_at = null
  where d.mail_id = p_delivery_id and d.state = 'sent';
  update public.notification_deliveries as d
  set state = 'failed', reason = 'bounced', error_message = left(p_detail, 500), sent_at = null
  where d.id = p_delivery_id and d.channel = 'email' and d.state = 'sent';
  -- And of addresses it can only say something about the one that the mail went to.
  if exists (select from public.users as u where u.id = v_recipient_id and lower(u.email) = lower(btrim(p_address))) then
    perform private.suppress_address(p_address, 'bounced', p_detail, p_delivery_id);
  end if;
  return 'bounced';
end;
$$;
comment on function private.record_bounce(uuid, text, boolean, text) is
  'security definer: writes deliveries and suppressions. A report that a mail came back: unknown, delayed (nothing is done) or bounced.';
revoke execute on function private.record_bounce(uuid, text, boolean, text) from public, anon, authenticated, service_role;
grant execute on function private.record_bounce(uuid, text, boolean, text) to service_role;
