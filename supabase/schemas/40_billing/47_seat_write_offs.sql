-- What a coach gives up on before it was ever billed: a seat, by whom and why. What is on an invoice is written off with it.
create table if not exists public.seat_write_offs (
  id uuid primary key default gen_random_uuid(),
  attendee_id uuid not null references public.session_attendees (id) on delete cascade,
  practice_id uuid not null references public.practices (id) on delete restrict,
  coach_client_id uuid references public.coach_clients (id) on delete restrict,
  amount_cents integer,
  currency text not null,
  reason text not null,
  written_off_by uuid references public.users (id) on delete set null,
  undone_at timestamptz,
  undone_by uuid references public.users (id) on delete set null,
  created_at timestamptz not null default now(),
  updated_at timestamptz not null default now(),
  constraint seat_write_offs_reason_length check (char_length(btrim(reason)) between 1 and 500)
);
comment on table public.seat_write_offs is
  'Seats that were given up on unbilled, by whom and why. At most one of a seat stands; one that was taken back stays on record.';
comment on column public.seat_write_offs.amount_cents is 'The price of the seat at that time, in minor units of currency; null where none was decided.';
comment on column public.seat_write_offs.undone_at is 'When it was taken back: the seat can be billed again.';

create unique index if not exists seat_write_offs_one_stands on public.seat_write_offs (attendee_id) where undone_at is null;
create index if not exists seat_write_offs_attendee_idx on public.seat_write_offs (attendee_id, created_at desc);
create index if not exists seat_write_offs_practice_idx on public.seat_write_offs (practice_id, created_at desc, id desc);
create index if not exists seat_write_offs_coach_client_idx on public.seat_write_offs (coach_client_id);
create index if not exists seat_write_offs_written_off_by_idx on public.seat_write_offs (written_off_by);
create index if not exists seat_write_offs_undone_by_idx on public.seat_write_offs (undone_by);

-- Only the functions of the owner write.
revoke all on public.seat_write_offs from public, anon, authenticated, service_role;
grant select on public.seat_write_offs to authenticated, service_role;

alter table public.seat_write_offs enable row level security;
drop policy if exists seat_write_offs_select_practice on public.seat_write_offs;
create policy seat_write_offs_select_practice on public.seat_write_offs for select to authenticated
  using (practice_id = any ((select private.my_practice_ids())::uuid[]) or (select private.i_am_admin()));
comment on policy seat_write_offs_select_practice on public.seat_write_offs is
  'The people of a practice, and an admin, see what it gave up on; its reasons are not for the client.';

drop trigger if exists seat_write_offs_touch on public.seat_write_offs;
create trigger seat_write_offs_touch before update on public.seat_write_offs
  for each row execute function private.touch_updated_at();
drop trigger if exists seat_write_offs_kept on public.seat_write_offs;
create trigger seat_write_offs_kept before delete on public.seat_write_offs
  for each row execute function private.refuse_money_delete();

create or replace function private.lock_my_seat(p_attendee_id uuid) returns public.session_attendees
  language plpgsql security definer set search_path = '' as $$
declare
  v_seat public.session_attendees;
begin
  -- As a line that bills it does: of two hands at one seat the second sees what the first did.
  select a.* into v_seat from public.session_attendees a join public.practice_members m on m.user_id = a.coach_id
    where a.id = p_attendee_id and a.role <> 'coach'
      and (not private.acting_as_api() or m.practice_id = any ((select private.my_practice_ids())::uuid[])) for no key update of a;
  if not found then perform private.fail(404, 'not_found', 'There is no such thing here.'); end if;
  return v_seat;
end $$;
comment on function private.lock_my_seat(uuid) is
  'security definer: locks a seat at a session of the caller''s practice, which the caller may see but not write.';
revoke execute on function private.lock_my_seat(uuid) from public, anon, authenticated, service_role;

create or replace function public.write_off_seat(p_attendee_id uuid, p_reason text) returns uuid
  language plpgsql security definer set search_path = '' as $$
declare
  v_seat constant public.session_attendees := private.lock_my_seat(p_attendee_id);
  v_id uuid;
begin
  select w.id into v_id from public.seat_write_offs w where w.attendee_id = p_attendee_id and w.undone_at is null;
  if found then return v_id; end if;
  if nullif(btrim(p_reason), '') is null then
    perform private.fail(422, 'reason_needed', 'Say why the seat is written off.');
  end if;
  if v_seat.billing_status <> 'unbilled'
     or exists (select from public.invoice_line_items l where l.attendee_id = p_attendee_id and l.released_at is null) then
    perform private.fail(409, 'seat_already_billed', 'The seat is on an invoice, or settled otherwise.',
      'Take its line off the draft, or write off the invoice.');
  end if;
  insert into public.seat_write_offs (attendee_id, practice_id, coach_client_id, amount_cents, currency, reason, written_off_by)
  select p_attendee_id, m.practice_id, v_seat.coach_client_id, coalesce(v_seat.price_cents, s.price_cents), coalesce(v_seat.currency, s.currency),
    p_reason, private.me()
  from public.sessions s join public.practice_members m on m.user_id = s.coach_id where s.id = v_seat.session_id
  returning id into v_id;
  perform private.set_seat_billing(p_attendee_id, 'written_off');
  return v_id;
end $$;
comment on function public.write_off_seat(uuid, text) is
  'security definer: a coach gives up on a seat of her practice that no invoice has, and says why: it is not billed any more. Returns what says so; repeating it changes nothing.';

create or replace function public.restore_seat(p_attendee_id uuid) returns uuid
  language plpgsql security definer set search_path = '' as $$
declare
  v_seat constant public.session_attendees := private.lock_my_seat(p_attendee_id);
  v_last public.seat_write_offs;
begin
  select * into v_last from public.seat_write_offs w where w.attendee_id = v_seat.id order by w.undone_at is null desc, w.created_at desc limit 1;
  if not found then perform private.fail(409, 'seat_not_written_off', 'That seat was never written off.'); end if;
  if v_last.undone_at is null then
    update public.seat_write_offs set undone_at = now(), undone_by = private.me() where id = v_last.id;
    perform private.set_seat_billing(v_seat.id, 'unbilled');
  end if;
  return v_last.id;
end $$;
comment on function public.restore_seat(uuid) is
  'security definer: a coach takes the write-off of a seat of her practice back: it can be billed again. Returns the write-off, which stays on record; repeating it changes nothing.';

revoke execute on function public.write_off_seat(uuid, text), public.restore_seat(uuid) from public, anon, authenticated, service_role;
grant execute on function public.write_off_seat(uuid, text), public.restore_seat(uuid) to authenticated, service_role;
