create or replace function public.invite_client(p_coach_client_id uuid)
returns void
language plpgsql
security definer
set search_path = ''
as $$
declare
  relation public.coach_clients%rowtype;
begin
  select * into relation
  from public.coach_clients as c
  where c.id = p_coach_client_id and c.coach_id = private.me()
  for no key update;
  if relation.id is null then
    perform private.fail(404, 'not_found', 'There is no such thing, or it is not yours.');
  end if;
  if relation.email is null then
    perform private.fail(422, 'client_email_missing', 'An invitation needs an e-mail address.');
  end if;
  if relation.client_id is not null and relation.status = 'active' then
    perform private.fail(409, 'client_has_account', 'This client has an account already.');
  end if;
  -- Mail to an address that somebody else typed: not more often than a person who waits for it would ask.
  if relation.invited_at > now() - interval '10 minutes' then
    perform private.fail(
      429, 'invitation_too_soon', 'This client was sent an invitation minutes ago.', 'Wait ten minutes between two.'
    );
  end if;
  if relation.metadata ? 'ended_by_client' and relation.ended_at > now() - interval '7 days' then
    perform private.fail(
      429, 'invitation_too_soon', 'This person said no a few days ago.', 'Wait seven days before you ask again.'
    );
  end if;
  update public.coach_clients set status = 'invited', invited_at = now() where id = relation.id;
  perform private.enqueue(
    'practice.send_client_invitation', jsonb_build_object('coach_client_id', relation.id)
  );
end;
$$;
comment on function public.invite_client(uuid) is
  'security definer: nobody may write invited_at or the queue. A coach invites a client of theirs by mail; the mail goes out when this commits.';
revoke execute on function public.invite_client(uuid) from public, anon, authenticated, service_role;
grant execute on function public.invite_client(uuid) to authenticated;
