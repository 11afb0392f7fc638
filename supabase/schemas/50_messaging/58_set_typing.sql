create or replace function public.set_typing(p_conversation_id uuid, p_typing boolean)
returns void
language plpgsql
security invoker
set search_path = ''
as $$
begin
  if not private.i_take_part(p_conversation_id) then
    perform private.fail(404, 'not_found', 'Not found.');
  end if;
  if p_typing then
    insert into public.typing_indicators (conversation_id, user_id)
    values (p_conversation_id, private.me())
    on conflict (conversation_id, user_id) do update set user_id = excluded.user_id;
  else
    delete from public.typing_indicators as t
    where t.conversation_id = p_conversation_id and t.user_id = private.me();
  end if;
end;
$$;
comment on function public.set_typing(uuid, boolean) is 'Says that the caller is writing, for ten seconds, or has stopped.';
revoke execute on function public.set_typing(uuid, boolean) from public, anon, authenticated, service_role;
grant execute on function public.set_typing(uuid, boolean) to authenticated;
