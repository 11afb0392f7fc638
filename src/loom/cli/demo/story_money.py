"""Step 4: sessions become an invoice, a card pays it by way of a signed webhook, and a part goes back."""

from __future__ import annotations

from typing import Any

import httpx

from loom.cli.demo import people
from loom.cli.demo.stage import Stage
from loom.providers.payments import vault_of

_STATE = """
  select i.document_number as number, i.status as invoice, i.total_amount_cents as total, i.amount_paid_cents as paid,
    (select count(*) from public.payments as p where p.invoice_id = i.id and p.status = 'paid') as payments,
    (select string_agg(a.billing_status::text, ', ' order by a.id)
     from public.invoice_line_items as l join public.session_attendees as a on a.id = l.attendee_id
     where l.invoice_id = i.id) as seats
  from public.invoices as i where i.id = %(id)s
"""


async def invoice(stage: Stage) -> None:
    """From draft to refund."""
    maya, sarah = stage.people[people.MAYA.email], stage.people[people.SARAH.email]
    draft = await maya.post(
        "/v1/invoices",
        {
            "client_id": sarah.user_id,
            "lines": [
                {"session_id": stage.facts["single_session"]},
                {"attendee_id": stage.facts["sarah_seat"]},
                {"description": "Workbook", "quantity": 1, "amount_cents": 6000},
            ],
        },
    )
    stage.facts["invoice"] = draft["id"]
    address = f"/v1/invoices/{draft['id']}"
    stage.check("three lines: a session, a seat in the group, an add-on", len(draft["lines"]) == 3)
    stage.check("a client sees no draft", (await sarah.call("GET", address)).status_code == 404)
    final = await maya.post(f"{address}/finalize")
    lines = sum(line["line_total_cents"] for line in final["lines"])
    stage.check(f"finalising gave it the number {final['document_number']}", final["document_number"])
    stage.check("its total is its lines and the tax", final["total_amount_cents"] == lines + final["tax_cents"])
    late = await maya.call("POST", f"{address}/lines", {"description": "Late", "amount_cents": 1})
    stage.check("and fixed it: 409", (late.status_code, late.json()["code"]) == (409, "invoice_final"))
    await stage.show("invoices", _STATE, id=draft["id"])
    await _pay(stage, final)
    await _refund(stage, final["total_amount_cents"])
    await _books(stage)


async def _pay(stage: Stage, final: dict[str, Any]) -> None:
    sarah = stage.people[people.SARAH.email]
    intent = await sarah.post(f"/v1/invoices/{final['id']}/payment-intents")
    stage.facts["intent"] = intent["id"]
    stage.check("an intent over the whole balance", intent["amount_cents"] == final["total_amount_cents"])
    declined = await sarah.post(f"/v1/payment-intents/{intent['id']}/confirm", {"card_token": "pm_card_chargeDeclined"})
    stage.check("a declined card pays nothing", declined["status"] == "requires_payment_method")
    await sarah.post(f"/v1/payment-intents/{intent['id']}/confirm", {"card_token": "pm_card_visa"})

    async def settled() -> list[dict[str, Any]] | None:
        found = await stage.rows(_STATE, id=final["id"])
        return found if found[0]["invoice"] == "paid" and await _handled(stage) else None

    rows = await stage.until("the payment", settled)
    stage.table("after the card and the webhook", rows)
    stage.check("one payment, and every seat of the invoice is paid", _paid_once(rows))
    stage.facts["payment"] = str((await sarah.get("/v1/payments"))["items"][0]["id"])

    event = await _send_again(stage)
    stage.table("the event in the inbox", [event])
    stage.check("the same webhook three times stands once in the inbox", event["times_received"] == 3)
    stage.check("and changes nothing more", _paid_once(await stage.rows(_STATE, id=final["id"])))
    forged = await sarah.http.post(f"/v1/webhooks/sandbox/{'0' * 43}", json={"type": "payment_intent.succeeded"})
    stage.check("an unsigned one is refused", forged.status_code in {400, 404})


def _paid_once(rows: list[dict[str, Any]]) -> bool:
    row = rows[0]
    return row["payments"] == 1 and row["paid"] == row["total"] and set(row["seats"].split(", ")) == {"paid"}


async def _handled(stage: Stage) -> bool:
    rows = await stage.rows("select status from public.webhook_events where event_type like 'payment_intent.succeeded'")
    return bool(rows) and all(row["status"] == "handled" for row in rows)


async def _send_again(stage: Stage) -> dict[str, Any]:
    """The gateway sends its event about the payment twice more, signed anew each time. The inbox's row of it."""
    secrets = await stage.rows(
        """
        select s.api_key from private.gateway_secrets as s
        join public.payment_intents as i on i.gateway_account_id = s.account_id
        where i.id = %(id)s
        """,
        id=stage.facts["intent"],
    )
    key = vault_of(stage.settings).open(secrets[0]["api_key"])
    headers = {"Authorization": f"Bearer {key}"}
    async with httpx.AsyncClient(base_url=stage.sandbox_url, headers=headers) as gateway:
        events = (await gateway.get("/v1/events?limit=100")).raise_for_status().json()["data"]
        event = next(event["id"] for event in events if event["type"] == "payment_intent.succeeded")
        (await gateway.post("/sandbox/send_again", json={"event": event, "copies": 2})).raise_for_status()

    async def thrice() -> dict[str, Any] | None:
        rows = await stage.rows(
            """
            select event_type, status, outcome, times_received from public.webhook_events
            where event_id = %(id)s and times_received >= 3
            """,
            id=event,
        )
        return rows[0] if rows else None

    return await stage.until("the repeated webhook", thrice)


async def _refund(stage: Stage, total: int) -> None:
    maya, payment = stage.people[people.MAYA.email], stage.facts["payment"]
    part = await maya.post(f"/v1/payments/{payment}/refunds", {"amount_cents": 10000, "reason": "came late"})

    async def done() -> bool:
        rows = await stage.rows("select status from public.payment_refunds where id = %(id)s", id=part["id"])
        return rows[0]["status"] == "succeeded"

    await stage.until("the refund", done)
    much = await maya.call("POST", f"/v1/payments/{payment}/refunds", {"amount_cents": total})
    stage.check(
        "more than was paid is refused: 409", (much.status_code, much.json()["code"]) == (409, "refund_exceeds_payment")
    )
    rows = await stage.show(
        "payments and refunds",
        """
        select p.amount_cents as paid, p.status, p.refunded_cents as refunded,
          (select count(*) from public.payment_refunds as r where r.payment_id = p.id) as refunds
        from public.payments as p where p.id = %(id)s
        """,
        id=payment,
    )
    stage.check(
        "a part went back and the payment stays paid", (rows[0]["refunded"], str(rows[0]["status"])) == (10000, "paid")
    )


async def _books(stage: Stage) -> None:
    """Her practice is registered for tax: a document came with the payment, and what went back needs a credit note."""
    maya, invoice = stage.people[people.MAYA.email], stage.facts["invoice"]
    receipts = (await maya.get("/v1/invoices", payment_id=stage.facts["payment"]))["items"]
    stage.check(
        "the payment made a tax invoice and receipt",
        [row["document_kind"] for row in receipts] == ["tax_invoice_receipt"],
    )
    warned = await maya.get(f"/v1/invoices/{invoice}")
    stage.check("the refund asks for a credit note", warned["warnings"] == ["refund_without_credit_note"])
    note = await maya.post(f"/v1/invoices/{invoice}/credit-notes", {"amount_cents": 10000, "reason": "came late"})
    stage.check(f"it is {note['document_number']}, at the invoice's rate", note["tax_cents"] == 1525)
    await stage.show(
        "the books",
        """
        select e.account, sum(e.amount_cents)::bigint as amount
        from public.journal_entries as e join public.invoices as i on i.practice_id = e.practice_id
        where i.id = %(id)s group by e.account having sum(e.amount_cents) <> 0 order by e.account
        """,
        id=invoice,
    )
    books = await maya.get("/v1/journal/check")
    stage.check("books, documents and balances agree", books["agrees"])
