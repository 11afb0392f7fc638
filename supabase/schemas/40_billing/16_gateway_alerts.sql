-- What somebody has to look at: an outcome that stays unknown, a gateway that is away, money that fits nothing.
create table if not exists public.gateway_alerts (
  id uuid primary key default gen_random_uuid(),
  gateway_account_id uuid not null references public.gateway_accounts (id) on delete restrict,
  practice_id uuid not null references public.practices (id) on delete restrict,
  kind text not null,
  subject_id uuid,
  detail text not null,
  closed_at timestamptz,
  created_at timestamptz not null default now(),
  updated_at timestamptz not null default now()
);
comment on table public.gateway_alerts is
  'Open questions between the books and a gateway. At most one is open per account, kind and subject; what answers it closes it.';
comment on column public.gateway_alerts.kind is
  'outcome_unknown, gateway_unreachable, unknown_state, does_not_fit, odd_answer, stray_charge or not_reconciled.';
comment on column public.gateway_alerts.subject_id is 'The intent, refund, payment or reconciliation it is about; null where it is the account.';

create unique index if not exists gateway_alerts_open_once
  on public.gateway_alerts (gateway_account_id, kind, (coalesce(subject_id, gateway_account_id))) where closed_at is null;
create index if not exists gateway_alerts_account_idx on public.gateway_alerts (gateway_account_id);
create index if not exists gateway_alerts_practice_idx on public.gateway_alerts (practice_id, created_at desc, id desc);

revoke all on public.gateway_alerts from public, anon, authenticated, service_role;
grant select on public.gateway_alerts to authenticated, service_role;

alter table public.gateway_alerts enable row level security;
drop policy if exists gateway_alerts_select_practice on public.gateway_alerts;
create policy gateway_alerts_select_practice on public.gateway_alerts for select to authenticated
  using (practice_id = any ((select private.my_practice_ids())::uuid[]));
comment on policy gateway_alerts_select_practice on public.gateway_alerts is 'The people of a practice see what its gateway leaves open.';
drop policy if exists gateway_alerts_select_admin on public.gateway_alerts;
create policy gateway_alerts_select_admin on public.gateway_alerts for select to authenticated
  using ((select private.i_am_admin()));
comment on policy gateway_alerts_select_admin on public.gateway_alerts is 'An admin sees every alert.';

drop trigger if exists gateway_alerts_touch on public.gateway_alerts;
create trigger gateway_alerts_touch before update on public.gateway_alerts
  for each row execute function private.touch_updated_at();
drop trigger if exists gateway_alerts_kept on public.gateway_alerts;
create trigger gateway_alerts_kept before delete on public.gateway_alerts
  for each row execute function private.refuse_money_delete();

create or replace function private.open_gateway_alert(p_account_id uuid, p_kind text, p_subject_id uuid, p_detail text) returns void
  language plpgsql security definer set search_path = '' as $$
declare
  v_practice uuid := (select g.practice_id from public.gateway_accounts g where g.id = p_account_id);
begin
  if v_practice is null then return; end if;
  insert into public.gateway_alerts (gateway_account_id, practice_id, kind, subject_id, detail)
  values (p_account_id, v_practice, p_kind, p_subject_id, left(p_detail, 500))
  on conflict do nothing;
  -- Told once, when it is opened; who looks later sees it in the list.
  if found then
    perform private.tell(m.user_id, 'gateway_alert', '/gateway-alerts', jsonb_build_object('kind', p_kind, 'subject_id', p_subject_id),
      null, left(p_detail, 200))
    from public.practice_members m where m.practice_id = v_practice and m.role = 'owner';
  end if;
end $$;
comment on function private.open_gateway_alert(uuid, text, uuid, text) is
  'security definer: writes rows that nobody may write. Opens an alert unless it is open, and tells the owners of the practice once.';
revoke execute on function private.open_gateway_alert(uuid, text, uuid, text) from public, anon, authenticated, service_role;

create or replace function private.close_gateway_alerts(p_account_id uuid, p_subject_id uuid) returns void
  language sql security definer set search_path = '' as $$
  update public.gateway_alerts set closed_at = now()
  where gateway_account_id = p_account_id and closed_at is null
    and (subject_id = p_subject_id or (subject_id is null and kind = 'gateway_unreachable'))
$$;
comment on function private.close_gateway_alerts(uuid, uuid) is
  'security definer: writes rows that nobody may write. The gateway has spoken of the subject, so it is reached again and the question is answered.';
revoke execute on function private.close_gateway_alerts(uuid, uuid) from public, anon, authenticated, service_role;
