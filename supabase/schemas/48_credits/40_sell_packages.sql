-- How credits come and go besides seats: sold on an invoice, given and moved by hand, ended.

create or replace function public.sell_package(p_invoice_id uuid, p_package_id uuid) returns uuid
  language plpgsql security definer set search_path = '' as $$
declare
  v_invoice constant public.invoices := private.lock_my_invoice(p_invoice_id, true);
  v_package public.packages;
  v_line uuid;
  v_id uuid;
begin
  select * into v_package from public.packages p where p.id = p_package_id and p.practice_id = v_invoice.practice_id and p.is_active;
  if not found then perform private.fail(404, 'not_found', 'There is no such thing here.'); end if;
  if v_package.currency <> v_invoice.currency then
    perform private.fail(422, 'currency_mismatch', format('The invoice is in %s, the package in %s.', v_invoice.currency, v_package.currency));
  end if;
  if v_invoice.coach_client_id is null then
    perform private.fail(409, 'client_unknown', 'A package is sold to a client.');
  end if;
  v_line := private.put_line(v_invoice, jsonb_build_object('description', v_package.title, 'amount_cents', v_package.price_cents));
  insert into public.credits (practice_id, coach_client_id, template_id, package_id, invoice_line_id, title, sessions, valid_days, spent_at, granted_at)
  values (v_invoice.practice_id, v_invoice.coach_client_id, v_package.template_id, v_package.id, v_line, v_package.title, v_package.sessions,
    v_package.valid_days, v_package.spent_at, v_package.granted_at)
  returning id into v_id;
  return v_id;
end $$;
comment on function public.sell_package(uuid, uuid) is
  'security definer: a coach puts a package of her practice on a draft of hers; its credits are empty until it is granted. Returns the credits.';
revoke execute on function public.sell_package(uuid, uuid) from public, anon, authenticated, service_role;
grant execute on function public.sell_package(uuid, uuid) to authenticated;

create or replace function private.sync_sold_credits() returns trigger
  language plpgsql security definer set search_path = '' as $$
declare
  v_credit public.credits;
  v_good boolean;
  v_withdrawn bigint;
begin
  -- Seats before credits, as whoever books or gives up takes them.
  perform from public.session_attendees a
  where a.id in (select e.attendee_id from public.credit_entries e join public.credits k on k.id = e.credit_id
    join public.invoice_line_items l on l.id = k.invoice_line_id where l.invoice_id = new.id)
  order by a.session_id, a.id for no key update;
  for v_credit in
    select k.* from public.credits k join public.invoice_line_items l on l.id = k.invoice_line_id
    where l.invoice_id = new.id order by k.id for no key update of k
  loop
    v_good := new.finalized_at is not null and new.status not in ('canceled', 'refunded')
      and (v_credit.granted_at = 'issue' or new.status = 'paid' or v_credit.granted_on is not null);
    if v_good and v_credit.granted_on is null then
      update public.credits set granted_on = now(), expires_at = now() + make_interval(days => valid_days) where id = v_credit.id;
      perform private.move_credit(v_credit, v_credit.sessions, 'granted');
    elsif not v_good then
      -- Sessions that are still ahead are to be paid for as any; each credit that comes back for one is withdrawn with it. What was
      -- spent on sessions that have begun, or on seats given up, stays spent.
      perform private.return_credit(x.attendee_id) from (select e.attendee_id from public.credit_entries e
        join public.session_attendees a on a.id = e.attendee_id join public.sessions s on s.id = a.session_id
        where e.credit_id = v_credit.id and s.scheduled_at > now() and not private.seat_given_up(a)
        group by e.attendee_id having sum(e.change) < 0 order by e.attendee_id) x;
      if v_credit.balance > 0 then perform private.move_credit(v_credit, -v_credit.balance, 'withdrawn'); end if;
    else
      -- A refund that failed after all: what was withdrawn for it is back, and so are the seats that it pays for.
      select -sum(e.change) into v_withdrawn from public.credit_entries e
      where e.credit_id = v_credit.id and (e.reason = 'withdrawn' or (e.reason = 'returned' and e.attendee_id is null));
      if v_withdrawn > 0 then
        perform private.move_credit(v_credit, v_withdrawn::integer, 'returned');
        perform private.sync_credit(a.id) from public.session_attendees a
          where a.id in (select e.attendee_id from public.credit_entries e where e.credit_id = v_credit.id);
      end if;
    end if;
    perform private.book_credit(v_credit.id);
  end loop;
  return null;
end $$;
comment on function private.sync_sold_credits() is
  'security definer: credits are written by nobody. Trigger: a package is granted when its invoice is issued or paid, and what was not used of it withdrawn when the sale is taken back.';
revoke execute on function private.sync_sold_credits() from public, anon, authenticated, service_role;
drop trigger if exists invoices_grant_credits on public.invoices;
create trigger invoices_grant_credits after update of status, finalized_at on public.invoices
  for each row when ((old.status, old.finalized_at) is distinct from (new.status, new.finalized_at))
  execute function private.sync_sold_credits();

create or replace function public.give_credits(p_coach_client_id uuid, p_template_id uuid, p_sessions integer, p_reason text,
  p_expires_at timestamptz default null, p_spent_at text default 'booking') returns uuid
  language plpgsql security definer set search_path = '' as $$
declare
  v_template public.session_templates;
  v_credit public.credits;
begin
  select t.* into v_template from public.session_templates t
  join public.coach_clients c on c.id = p_coach_client_id and c.coach_id = t.coach_id
  where t.id = p_template_id and t.coach_id = private.me();
  if not found then perform private.fail(404, 'not_found', 'There is no such thing here.'); end if;
  if nullif(btrim(p_reason), '') is null then perform private.fail(422, 'reason_needed', 'Say why the credits are given.'); end if;
  if p_sessions is null or p_sessions not between 1 and 1000 then
    perform private.fail(422, 'credits_out_of_range', 'Between 1 and 1000 sessions are given at once.');
  end if;
  if p_expires_at <= now() then perform private.fail(422, 'credits_expired', 'They would have ended already.'); end if;
  insert into public.credits (practice_id, coach_client_id, template_id, title, sessions, expires_at, spent_at, granted_at, granted_on)
  select m.practice_id, p_coach_client_id, p_template_id, v_template.title, p_sessions, p_expires_at, p_spent_at, 'hand', now()
  from public.practice_members m where m.user_id = private.me()
  returning * into v_credit;
  insert into public.credit_entries (credit_id, practice_id, change, reason, note, made_by)
  values (v_credit.id, v_credit.practice_id, p_sessions, 'granted', left(p_reason, 500), private.me());
  return v_credit.id;
end $$;
comment on function public.give_credits(uuid, uuid, integer, text, timestamptz, text) is
  'security definer: a coach gives a client of hers sessions of a template of hers, and says why. Returns the credits.';
revoke execute on function public.give_credits(uuid, uuid, integer, text, timestamptz, text) from public, anon, authenticated, service_role;
grant execute on function public.give_credits(uuid, uuid, integer, text, timestamptz, text) to authenticated;

create or replace function private.lock_my_credit(p_credit_id uuid) returns public.credits
  language plpgsql security definer set search_path = '' as $$
declare
  v_credit public.credits;
begin
  select * into v_credit from public.credits k where k.id = p_credit_id
    and (not private.acting_as_api() or k.practice_id = any ((select private.my_practice_ids())::uuid[])) for no key update;
  if not found then perform private.fail(404, 'not_found', 'There is no such thing here.'); end if;
  if v_credit.granted_on is null then
    perform private.fail(409, 'credits_not_granted', 'These credits are not there yet.', 'Their invoice is a draft, or not paid.');
  end if;
  return v_credit;
end $$;
comment on function private.lock_my_credit(uuid) is
  'security definer: locks credits that the caller''s practice sold, which the caller may see but not write.';
revoke execute on function private.lock_my_credit(uuid) from public, anon, authenticated, service_role;

create or replace function public.move_credits(p_credit_id uuid, p_change integer, p_reason text) returns integer
  language plpgsql security definer set search_path = '' as $$
declare
  v_credit constant public.credits := private.lock_my_credit(p_credit_id);
begin
  if nullif(btrim(p_reason), '') is null then perform private.fail(422, 'reason_needed', 'Say why the credits are moved.'); end if;
  if p_change is null or p_change = 0 or abs(p_change::bigint) > 1000 then
    perform private.fail(422, 'credits_out_of_range', 'Between 1 and 1000 sessions are moved at once, up or down.');
  end if;
  if v_credit.balance + p_change < 0 then
    perform private.fail(409, 'credits_used_up', format('At most %s can be taken off: no more is left.', v_credit.balance));
  end if;
  perform private.move_credit(v_credit, p_change, 'moved', null, left(p_reason, 500));
  return v_credit.balance + p_change;
end $$;
comment on function public.move_credits(uuid, integer, text) is
  'security definer: a coach adds to or takes from credits that her practice sold, and says why. Returns what is left.';
revoke execute on function public.move_credits(uuid, integer, text) from public, anon, authenticated, service_role;
grant execute on function public.move_credits(uuid, integer, text) to authenticated;

create or replace function public.extend_credits(p_credit_id uuid, p_expires_at timestamptz) returns void
  language plpgsql security definer set search_path = '' as $$
declare
  v_credit constant public.credits := private.lock_my_credit(p_credit_id);
begin
  if p_expires_at <= now() or not isfinite(p_expires_at) then perform private.fail(422, 'credits_expired', 'That is over already.'); end if;
  update public.credits set expires_at = p_expires_at where id = v_credit.id;
end $$;
comment on function public.extend_credits(uuid, timestamptz) is
  'security definer: a coach lets credits that her practice sold be good for longer or shorter; null never ends. What ended before stays ended.';
revoke execute on function public.extend_credits(uuid, timestamptz) from public, anon, authenticated, service_role;
grant execute on function public.extend_credits(uuid, timestamptz) to authenticated;

create or replace function private.expire_credits() returns integer
  language plpgsql security definer set search_path = '' as $$
declare
  v_credit public.credits;
  v_count integer := 0;
begin
  -- A week later, since sessions are often completed after the day they took place.
  for v_credit in
    select * from public.credits k where k.balance > 0 and k.expires_at < now() - interval '7 days' order by k.id
    for no key update skip locked
  loop
    perform private.move_credit(v_credit, -v_credit.balance, 'expired');
    v_count := v_count + 1;
  end loop;
  return v_count;
end $$;
comment on function private.expire_credits() is
  'security definer: credits are written by nobody. The nightly job: what ended more than a week ago is gone. Returns how many had something left.';
revoke execute on function private.expire_credits() from public, anon, authenticated, service_role;
grant execute on function private.expire_credits() to service_role;
