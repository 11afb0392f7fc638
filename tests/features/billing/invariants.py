"""What must hold of a practice's money after every step, as queries that find what must not exist."""

from __future__ import annotations

from typing import Any

# Each finds what must not exist; named by the invariants that the reference of the field lists.
INVARIANTS: dict[str, Any] = {
    "allocations stay within the payment less its refunds": """
        select p.id from public.payments p where p.practice_id = %(practice)s
        and (p.allocated_cents + p.refunded_cents > p.amount_cents or p.allocated_cents <>
          (select coalesce(sum(a.amount_cents), 0) from public.payment_allocations a where a.payment_id = p.id))""",
    "allocations stay within the invoice and are its paid amount": """
        select i.id from public.invoices i
        join lateral (select coalesce(sum(a.amount_cents), 0) as paid, coalesce(sum(a.refunded_cents), 0) as back
                      from public.payment_allocations a where a.invoice_id = i.id) s on true
        where i.practice_id = %(practice)s
          and ((i.amount_paid_cents, i.amount_refunded_cents) <> (s.paid, s.back)
            or s.paid + s.back > i.total_amount_cents)""",
    "refunds stay within the payment": """
        select p.id from public.payments p
        join lateral (select coalesce(sum(r.amount_cents) filter (where r.status <> 'failed'), 0) as reserved,
                        coalesce(sum(r.amount_cents) filter (where r.status = 'succeeded'), 0) as back
                      from public.payment_refunds r where r.payment_id = p.id) s on true
        where p.practice_id = %(practice)s
          and (s.reserved > p.amount_cents or (p.refund_reserved_cents, p.refunded_cents) <> (s.reserved, s.back)
            or (p.status = 'refunded') <> (s.back = p.amount_cents))""",
    "one charge is one payment, and an intent has one at most": """
        select min(p.id::text) from public.payments p
        where p.practice_id = %(practice)s and p.status in ('paid', 'refunded')
          and p.intent_id is not null
        group by p.intent_id having count(*) > 1""",
    "currencies are never mixed": """
        select a.id from public.payment_allocations a
        join public.payments p on p.id = a.payment_id join public.invoices i on i.id = a.invoice_id
        where a.practice_id = %(practice)s and (p.currency <> i.currency or a.currency <> i.currency)""",
    "the state of an invoice follows from its amounts": """
        select i.id from public.invoices i where i.practice_id = %(practice)s and i.finalized_at is not null
          and i.document_kind in ('invoice', 'tax_invoice') and i.status <> case
            when i.voided_at is not null then 'canceled'
            when i.amount_paid_cents + i.amount_refunded_cents + i.credited_cents - i.refund_covered_cents
              < i.total_amount_cents then 'pending'
            when i.amount_paid_cents = 0 and i.amount_refunded_cents > 0 then 'refunded'
            else 'paid' end::public.payment_status""",
    "an invoice never gets more than it asks for": """
        select i.id from public.invoices i where i.practice_id = %(practice)s and i.amount_paid_cents
          + i.amount_refunded_cents + i.credited_cents - i.refund_covered_cents > i.total_amount_cents""",
    "a seat stands as its invoice does": """
        select a.id from public.session_attendees a
        left join public.invoice_line_items l on l.attendee_id = a.id and l.released_at is null
        left join public.invoices i on i.id = l.invoice_id and i.finalized_at is not null
        left join public.seat_write_offs w on w.attendee_id = a.id and w.undone_at is null
        where a.coach_id = %(coach)s and a.role = 'client' and a.billing_status <> case
            when i.id is null then case when w.id is null then 'unbilled' else 'written_off' end
            when w.id is null and i.status = 'paid' then 'paid'
            when i.status = 'refunded' or i.written_off_at is not null then 'written_off'
            else 'awaiting_payment' end::public.session_billing_status""",
    "what is under way has a time to be looked at": """
        select i.id from public.payment_intents i where i.practice_id = %(practice)s and i.status = 'processing'
          and i.next_check_at is null
        union all
        select r.id from public.payment_refunds r
        where r.practice_id = %(practice)s and r.status in ('pending', 'processing')
          and r.next_check_at is null""",
    "what is over keeps no secret": """
        select i.id from public.payment_intents i where i.practice_id = %(practice)s
          and i.status in ('succeeded', 'canceled') and i.client_secret is not null""",
    "money given back by hand says why": """
        select r.id from public.payment_refunds r join public.payments p on p.id = r.payment_id
        where r.practice_id = %(practice)s and p.provider = 'manual' and r.reason is null""",
    "a payment has one receipt, over all of it": """
        select r.id from public.invoices r join public.payments p on p.id = r.payment_id
        where r.practice_id = %(practice)s and r.total_amount_cents <> p.amount_cents""",
    # Of several parts each is rounded by itself; what a payment was taken off again counts no more.
    "tax that fell due with what is on an invoice is never more than its tax": """
        select i.id from public.invoices i
        join lateral (select count(*) as parts, sum(floor(l.settled_tax_cents::numeric
                        * least(l.line_total_cents, a.amount_cents + a.refunded_cents) / l.line_total_cents)) as due
                      from public.invoice_line_items l
                      join public.invoices r on r.id = l.invoice_id and r.credited_cents = 0
                      join public.payment_allocations a on a.payment_id = r.payment_id and a.invoice_id = i.id
                      where l.settled_invoice_id = i.id) s on true
        where i.practice_id = %(practice)s and i.tax_on_payment and s.due > i.tax_cents + s.parts - 1""",
    "the money of a client brings its tax due once, wherever it lies": """
        select r.coach_client_id from public.invoices r join public.invoice_line_items l on l.invoice_id = r.id
        left join public.invoices o on o.id = l.settled_invoice_id
        where r.practice_id = %(practice)s and r.document_kind = 'tax_invoice_receipt' and r.credited_cents = 0
        group by r.coach_client_id, r.currency
        having abs(sum(l.settled_tax_cents) - sum(l.line_total_cents * case when o.id is null
          or (o.tax_on_payment and o.tax_rate_bp > 0) then 18 else 0 end / 118.0)) > 1.5 * count(*)""",
    "the tax of a receipt is that of its parts": """
        select r.id from public.invoices r where r.practice_id = %(practice)s and r.payment_id is not null
          and ((r.document_kind = 'receipt' and r.tax_rate_bp <> 0) or r.tax_cents <>
            (select sum(l.settled_tax_cents) from public.invoice_line_items l where l.invoice_id = r.id))""",
    "books, documents, counters, numbers and balances agree": """
        select v.* from private.verify_billing(%(practice)s) v""",
}

# One statement for all of them: asked after every step, so its round trips and plans count.
ALL = " union all ".join(
    f"select '{claim}' as claim, to_jsonb(x)::text as wrong from ({query}) x" for claim, query in INVARIANTS.items()
)
