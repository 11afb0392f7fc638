-- walks public.conversation_participants, once
-- A coach leads the groups they made and what they have with clients. Anybody could write this column, so what it says
-- of leading is not believed.
update public.conversation_participants as p
set role = case
  when u.role = 'admin' then 'admin'
  when u.role = 'coach' and (
    (c.type = 'group' and c.created_by = u.id)
    or (c.type = 'direct' and not exists (
      select
      from public.conversation_participants as q
      join public.users as o on o.id = q.user_id
      where q.conversation_id = c.id and o.id <> u.id and o.role <> 'client'))
  ) then 'coach'
  else 'member'
end
from public.users as u, public.conversations as c
where u.id = p.user_id and c.id = p.conversation_id and /*within p.id*/ true
  and (u.role <> 'client' or p.role in ('coach', 'admin'))
  and coalesce(p.role, 'member') in ('member', 'coach', 'admin')
