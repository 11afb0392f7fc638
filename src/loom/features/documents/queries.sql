-- name: document
select d.content, d.logo from public.document(%(id)s) as d

-- name: document_by_link
select d.content, d.logo, d.state from public.document_by_link(%(token)s) as d

-- name: receipts_by_link
select r.id, r.kind, r.number, r.total_cents, r.currency, r.issued_at from public.receipts_by_link(%(token)s) as r

-- name: issue_receipts_by_link
select public.issue_receipts_by_link(%(token)s)

-- name: receipt_by_link
select d.content, d.logo from public.receipt_by_link(%(token)s, %(id)s) as d

-- name: begin_payment_by_link
-- role: service_role
select private.begin_payment_by_link(%(token)s)

-- name: open_payments_by_link
-- role: service_role
select p.id from private.open_payments_by_link(%(token)s) as p (id)

-- name: get_letterhead
select
  p.id as practice_id, h.footer, h.transfer_details, coalesce(h.send_on_issue, false) as send_on_issue,
  h.logo_sha256 is not null as has_logo
from public.practices as p
left join public.practice_letterheads as h on h.practice_id = p.id
where p.id = any ((select private.my_practice_ids())::uuid[])

-- name: set_letterhead
insert into public.practice_letterheads as h (practice_id, footer, transfer_details, send_on_issue)
select o.id, %(footer)s, %(transfer_details)s, %(send_on_issue)s
from unnest((select private.my_owned_practice_ids())::uuid[]) as o (id)
on conflict (practice_id) do update
set footer = excluded.footer, transfer_details = excluded.transfer_details, send_on_issue = excluded.send_on_issue
returning h.practice_id

-- name: set_logo
select o.id, public.set_practice_logo(o.id, %(content)s)
from unnest((select private.my_owned_practice_ids())::uuid[]) as o (id)

-- name: send_document
select public.send_document(%(id)s, %(email)s)

-- name: list_sends
select s.id, s.invoice_id, s.email, s.created_at, s.sent_at, s.failed_at, s.failure
from public.document_sends as s
where s.invoice_id = %(id)s
  and (%(after_at)s::timestamptz is null or (s.created_at, s.id) < (%(after_at)s, %(after_id)s::uuid))
order by s.created_at desc, s.id desc
limit %(limit)s

-- name: get_send
select s.id, s.invoice_id, s.email, s.created_at, s.sent_at, s.failed_at, s.failure
from public.document_sends as s
where s.id = %(id)s

-- name: make_link
select public.make_document_link(%(id)s, %(days)s)

-- name: revoke_links
select public.revoke_document_links(%(id)s)

-- name: document_to_send
-- role: service_role
select d.content, d.logo, d.email, d.recipient_name, d.language, d.token
from private.document_to_send(%(id)s) as d
where d.content is not null

-- name: finish_send
-- role: service_role
update public.document_sends
set sent_at = case when %(failure)s::text is null then now() end,
    failed_at = case when %(failure)s::text is not null then now() end, failure = %(failure)s
where id = %(id)s
