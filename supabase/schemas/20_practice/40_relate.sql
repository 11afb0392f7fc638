create or replace function private.relate(p_coach_id uuid, p_client_id uuid, p_source text)
returns uuid
language plpgsql
security definer
set search_path = ''
as $$
declare
  relation uuid;
begin
  if p_coach_id = p_client_id then
    return null;
  end if;
  insert into public.coach_clients (coach_id, client_id, status, source, accepted_at)
  values (p_coach_id, p_client_id, 'active', p_source, now())
  on conflict (coach_id, client_id) do nothing
  returning id into relation;
  if relation is null then
    select c.id into relation
    from public.coach_clients as c
    where c.coach_id = p_coach_id and c.client_id = p_client_id;
    if p_source = 'booking' then
      -- A coach who parted from a client is not booked by them any more; a client who left may come back by booking.
      if p_client_id = private.me() and exists (
        select from public.coach_clients as c where c.id = relation and c.status = 'ended' and not c.metadata ? 'ended_by_client'
      ) then
        perform private.fail(409, 'relation_ended', 'This coach does not take bookings from you any more.', 'Write to the coach.');
      end if;
      update public.coach_clients
      set status = 'active', accepted_at = coalesce(accepted_at, now()), metadata = metadata - 'ended_by_client'
      where id = relation and status <> 'active';
    end if;
  end if;
  return relation;
end;
$$;
comment on function private.relate(uuid, uuid, text) is
  'security definer: nobody may tie accounts by hand. Makes somebody a coach''s client (source booking, invitation or session); gives the relation''s id.';
revoke execute on function private.relate(uuid, uuid, text) from public, anon, authenticated, service_role;
grant execute on function private.relate(uuid, uuid, text) to service_role;
