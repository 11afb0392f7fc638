create or replace function private.invoices_live()
returns trigger
language plpgsql
security definer
set search_path = ''
as $$
declare
  v_row public.invoices := coalesce(new, old);
begin
  insert into public.live_events (kind, scope, invoice_id, practice_id, user_id)
  values (
    case tg_op when 'DELETE' then 'invoice.deleted' else 'invoice.changed' end,
    'invoice', v_row.id, v_row.practice_id, case when v_row.finalized_at is not null then v_row.user_id end)
  -- A document may be drafted and issued at once: it is the payer's business when the transaction ends.
  on conflict (xid, invoice_id) where scope = 'invoice' do update set kind = excluded.kind, user_id = excluded.user_id;
  return null;
end;
$$;
comment on function private.invoices_live() is
  'security definer: nobody may write the log. Trigger: an invoice made, issued, paid or ended is news to its practice, and once issued to its payer.';
revoke execute on function private.invoices_live() from public, anon, authenticated, service_role;

drop trigger if exists invoices_live on public.invoices;
create trigger invoices_live after insert or update or delete on public.invoices
for each row execute function private.invoices_live();

create or replace function private.notifications_live()
returns trigger
language plpgsql
security definer
set search_path = ''
as $$
declare
  v_row public.notifications := coalesce(new, old);
begin
  if coalesce(v_row.channel, 'inapp') = 'inapp' and (v_row.scheduled_for is null or v_row.scheduled_for <= now()) then
    insert into public.live_events (kind, scope, notification_id, user_id)
    values (
      case tg_op
        when 'INSERT' then 'notification.created'
        when 'DELETE' then 'notification.deleted'
        else 'notification.changed'
      end,
      'person', v_row.id, v_row.user_id);
  end if;
  return null;
end;
$$;
comment on function private.notifications_live() is
  'security definer: nobody may write the log. Trigger: a notice told, read or put away is news to its person, on each of their devices.';
revoke execute on function private.notifications_live() from public, anon, authenticated, service_role;

drop trigger if exists notifications_live on public.notifications;
create trigger notifications_live after insert or update of read_at or delete on public.notifications
for each row execute function private.notifications_live();
