-- name: get_user
select id, email, role, status, first_name, last_name, phone, avatar_url, timezone, language, created_at, updated_at, last_seen_at
from public.users
where id = %(user_id)s

-- name: list_users
select id, email, role, status, first_name, last_name, phone, avatar_url, timezone, language, created_at, updated_at, last_seen_at
from public.users
where (%(role)s::public.user_role is null or users.role = %(role)s::public.user_role)
  and (
    %(search)s::text is null
    or strpos(lower(concat_ws(' ', first_name, last_name, email)), lower(%(search)s::text)) > 0
  )
  and (
    %(after_created_at)s::timestamptz is null
    or (created_at, id) < (%(after_created_at)s::timestamptz, %(after_id)s::uuid)
  )
order by created_at desc, id desc
limit %(limit)s

-- name: update_profile
update public.users
set
  first_name = case when 'first_name' = any (%(given)s::text[]) then %(first_name)s else first_name end,
  last_name = case when 'last_name' = any (%(given)s::text[]) then %(last_name)s else last_name end,
  phone = case when 'phone' = any (%(given)s::text[]) then %(phone)s else phone end,
  avatar_url = case when 'avatar_url' = any (%(given)s::text[]) then %(avatar_url)s else avatar_url end,
  timezone = case when 'timezone' = any (%(given)s::text[]) then %(timezone)s else timezone end,
  language = coalesce(%(language)s::public.language, language)
where id = %(user_id)s
returning id, email, role, status, first_name, last_name, phone, avatar_url, timezone, language, created_at, updated_at, last_seen_at

-- name: set_user_role
select public.set_user_role(%(user_id)s, %(role)s::public.user_role, %(reason)s)

-- name: set_user_status
select public.set_user_status(%(user_id)s, %(status)s::public.user_status, %(reason)s)

-- name: find_account_by_email
-- role: service_role
select
  u.id, u.email, u.status, u.language, c.password_hash, c.email_verified_at, c.totp_secret, c.totp_confirmed_at,
  c.totp_last_counter, coalesce(c.recovery_codes, '{}') as recovery_codes, coalesce(c.locked_until > now(), false) as locked
from public.users as u
left join private.credentials as c on c.user_id = u.id
where lower(u.email) = lower(%(email)s)

-- name: find_account
-- role: service_role
select
  u.id, u.email, u.status, u.language, c.password_hash, c.email_verified_at, c.totp_secret, c.totp_confirmed_at,
  c.totp_last_counter, coalesce(c.recovery_codes, '{}') as recovery_codes, coalesce(c.locked_until > now(), false) as locked
from public.users as u
left join private.credentials as c on c.user_id = u.id
where u.id = %(user_id)s

-- name: create_account
-- role: service_role
select private.create_account(%(email)s, %(profile)s::jsonb)

-- name: set_password
-- role: service_role
insert into private.credentials (user_id, password_hash)
values (%(user_id)s, %(password_hash)s)
on conflict (user_id) do update set password_hash = excluded.password_hash, failed_attempts = 0, locked_until = null

-- name: replace_password_hash
-- role: service_role
update private.credentials
set password_hash = %(password_hash)s
where user_id = %(user_id)s and password_hash = %(old_hash)s

-- name: set_unverified_password
-- role: service_role
insert into private.credentials (user_id, password_hash)
values (%(user_id)s, %(password_hash)s)
on conflict (user_id) do update set password_hash = excluded.password_hash
where credentials.email_verified_at is null

-- name: mark_email_verified
-- role: service_role
update private.credentials
set email_verified_at = coalesce(email_verified_at, now())
where user_id = %(user_id)s

-- name: note_failed_code
-- role: service_role
update private.credentials
set
  failed_attempts = failed_attempts + 1,
  locked_until = case when (failed_attempts + 1) %% 10 = 0 then now() + interval '1 hour' else locked_until end
where user_id = %(user_id)s

-- name: clear_failed_codes
-- role: service_role
update private.credentials
set failed_attempts = 0, locked_until = null
where user_id = %(user_id)s and (failed_attempts > 0 or locked_until is not null)

-- name: start_totp
-- role: service_role
update private.credentials
set totp_secret = %(secret)s, totp_last_counter = null
where user_id = %(user_id)s and totp_confirmed_at is null

-- name: confirm_totp
-- role: service_role
update private.credentials
set totp_confirmed_at = now(), totp_last_counter = %(counter)s, recovery_codes = %(recovery_codes)s
where user_id = %(user_id)s and totp_secret = %(secret)s and totp_confirmed_at is null

-- name: spend_totp_counter
-- role: service_role
update private.credentials
set totp_last_counter = %(counter)s
where user_id = %(user_id)s
  and totp_secret = %(secret)s
  and (totp_last_counter is null or totp_last_counter < %(counter)s)

-- name: spend_recovery_code
-- role: service_role
update private.credentials
set recovery_codes = array_remove(recovery_codes, %(code_hash)s::text)
where user_id = %(user_id)s and %(code_hash)s::text = any (recovery_codes)

-- name: set_recovery_codes
-- role: service_role
update private.credentials
set recovery_codes = %(recovery_codes)s
where user_id = %(user_id)s and totp_confirmed_at is not null

-- name: stop_totp
-- role: service_role
update private.credentials
set totp_secret = null, totp_confirmed_at = null, totp_last_counter = null, recovery_codes = '{}'
where user_id = %(user_id)s

-- name: start_auth_session
-- role: service_role
insert into private.auth_sessions (user_id, refresh_token_hash, expires_at, user_agent)
values (%(user_id)s, %(token_hash)s, now() + make_interval(days => %(days)s), %(user_agent)s)
returning id

-- name: set_refresh_token
-- role: service_role
update private.auth_sessions
set
  previous_hash = refresh_token_hash,
  refresh_token_hash = %(token_hash)s,
  expires_at = now() + make_interval(days => %(days)s)
where id = %(session_id)s

-- name: lock_auth_session
-- role: service_role
select
  s.id, s.user_id, s.refresh_token_hash,
  s.revoked_at is null and s.expires_at > now() as live,
  u.status = 'active' as active,
  coalesce(c.totp_confirmed_at <= s.created_at, false) as second_factor
from private.auth_sessions as s
join public.users as u on u.id = s.user_id
left join private.credentials as c on c.user_id = s.user_id
where s.id = %(session_id)s
for update of s

-- name: revoke_auth_session
-- role: service_role
update private.auth_sessions
set revoked_at = now(), revoked_reason = %(reason)s
where id = %(session_id)s and revoked_at is null

-- name: revoke_auth_sessions
-- role: service_role
update private.auth_sessions
set revoked_at = now(), revoked_reason = %(reason)s
where user_id = %(user_id)s and revoked_at is null

-- name: touch_last_seen
-- role: service_role
update public.users
set last_seen_at = now()
where id = %(user_id)s

-- name: keep_one_time_token
-- role: service_role
insert into private.one_time_tokens (token_hash, user_id, purpose, email, expires_at)
values (%(token_hash)s, %(user_id)s, %(purpose)s, %(email)s, now() + make_interval(secs => %(seconds)s))

-- name: find_one_time_token
-- role: service_role
select t.user_id
from private.one_time_tokens as t
join public.users as u on u.id = t.user_id and lower(u.email) = lower(t.email)
where t.token_hash = %(token_hash)s and t.purpose = %(purpose)s and t.used_at is null and t.expires_at > now()

-- name: use_one_time_token
-- role: service_role
update private.one_time_tokens as t
set used_at = now()
from public.users as u
where t.token_hash = %(token_hash)s
  and t.purpose = %(purpose)s
  and t.used_at is null
  and t.expires_at > now()
  and u.id = t.user_id
  and lower(u.email) = lower(t.email)
returning t.user_id

-- name: drop_one_time_tokens
-- role: service_role
delete from private.one_time_tokens
where user_id = %(user_id)s and purpose = %(purpose)s and used_at is null

-- name: note_identity_event
-- role: service_role
insert into private.identity_events (user_id, event, details)
values (%(user_id)s, %(event)s, %(details)s::jsonb)

-- name: enqueue
-- role: service_role
select private.enqueue(%(task)s, %(args)s::jsonb)

-- name: purge_identity
-- role: service_role
with
  keys as (delete from private.idempotency_keys where created_at < now() - interval '1 day'),
  windows as (delete from private.rate_limits where window_start < now() - interval '1 day'),
  links as (delete from private.one_time_tokens where expires_at < now() - interval '7 days'),
  sign_ins as (
    delete from private.auth_sessions
    where expires_at < now() - interval '30 days' or revoked_at < now() - interval '30 days'
  )
select true
