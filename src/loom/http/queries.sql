-- name: claim_idempotency_key
select is_new, response_status, response_headers, response_body
from private.claim_idempotency_key(%(key)s, %(fingerprint)s)

-- name: keep_idempotent_answer
select private.keep_idempotent_answer(%(key)s, %(status)s, %(headers)s::jsonb, %(body)s)

-- name: hit_rate_limit
-- role: service_role
select private.hit_rate_limit(%(bucket)s, %(allowed)s, %(seconds)s)
