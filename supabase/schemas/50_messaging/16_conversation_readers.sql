-- One sentence about who reads which conversation. The policies ask it for one person, the live stream for all the people of
-- a conversation at once, so that the two cannot come to differ.
create or replace view private.conversation_readers with (security_invoker = true) as
select p.conversation_id || '/' || p.user_id as row_key, p.user_id, p.conversation_id, p.history_from_seq, false as is_admin
from public.users as u
join public.conversation_participants as p on p.user_id = u.id
where u.status = 'active' and p.left_at is null and u.role <> 'admin'
union all
select c.id || '/' || u.id, u.id, c.id, coalesce(p.history_from_seq, 1), true
from public.users as u
cross join public.conversations as c
left join public.conversation_participants as p on p.conversation_id = c.id and p.user_id = u.id and p.left_at is null
where u.status = 'active' and u.role = 'admin';
comment on view private.conversation_readers is
  'Who reads which conversation now, and from which seq on: active people who take part, and admins. Read by definer functions only.';

revoke all on private.conversation_readers from public, anon, authenticated, service_role;

-- Whoever asks for the readers of one conversation would otherwise look through all people for the few admins.
create index if not exists users_admins_idx on public.users (id) where role = 'admin';
