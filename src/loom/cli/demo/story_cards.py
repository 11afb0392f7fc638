"""Step 5: a payment makes a session, a kept card is charged, another gateway takes over, and all of it is compared."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import httpx

from loom.cli.demo import people
from loom.cli.demo.stage import Stage
from loom.core import clock
from loom.features.billing.reconciliation import Reconciler, days_before

_CARD = {"number": "4242424242424242", "expiry": "12/34", "cvc": "123"}


async def cards(stage: Stage) -> None:
    """At the sandbox in both dialects: the practice's first account speaks Stripe's, its second Tranzila's."""
    await _hold(stage)
    await _kept(stage)
    await _tranzila(stage)
    await _compare(stage)


async def _hold(stage: Stage) -> None:
    maya, sarah = stage.people[people.MAYA.email], stage.people[people.SARAH.email]
    template = await maya.post(
        "/v1/session-templates",
        {
            "title": "Paid in advance",
            "default_duration_minutes": 30,
            "default_price_cents": 20000,
            "booking_mode": "prepaid",
        },
    )
    start = clock.now() + timedelta(days=12)
    slots = await sarah.get(
        f"/v1/coaches/{maya.user_id}/slots",
        template_id=template["id"],
        **{"from": start.isoformat(), "to": (start + timedelta(days=3)).isoformat()},
    )
    wanted = {"template_id": template["id"], "starts_at": slots["items"][0]["starts_at"]}
    straight = await sarah.call("POST", "/v1/sessions", wanted)
    stage.check("what is paid first is not booked without", straight.json()["code"] == "payment_needed")
    held = await sarah.post("/v1/holds", wanted)
    await _pay_on_page(stage, f"/v1/booking-requests/{held['id']}")

    async def booked() -> dict[str, Any] | None:
        now = await sarah.get(f"/v1/booking-requests/{held['id']}")
        return now if now["status"] == "booked" else None

    session = (await stage.until("the paid hold", booked))["session_id"]
    seat = await sarah.get(f"/v1/sessions/{session}")
    stage.check("the payment made the session, and it is paid", seat["billing_status"] == "paid")


async def _pay_on_page(stage: Stage, what: str) -> None:
    sarah, server = stage.people[people.SARAH.email], stage.base_url
    ways = {"success_url": f"{server}/paid", "cancel_url": f"{server}/back", "locale": "en"}
    page = await sarah.post(f"{what}/payment-page", ways)
    async with httpx.AsyncClient() as browser:
        given = await browser.post(page["url"], data=_CARD)
    stage.check("the card is given on the gateway's own page", given.status_code == 303)


async def _kept(stage: Stage) -> None:
    maya, sarah = stage.people[people.MAYA.email], stage.people[people.SARAH.email]
    invoice = await _invoice(stage)
    refused = await maya.call("POST", f"/v1/invoices/{invoice}/charge")
    stage.check("without consent no card is charged: 409", refused.json()["code"] == "no_consented_method")
    await sarah.post(
        "/v1/payment-methods",
        {
            "practice_id": (await maya.get("/v1/practice"))["id"],
            "card_token": "pm_card_visa",
            "consent_text": "You may charge this card for sessions that took place.",
            "off_session": True,
        },
    )
    charged = await maya.post(f"/v1/invoices/{invoice}/charge")
    stage.check("with it the kept card pays while its owner is away", charged["status"] == "succeeded")


async def _invoice(stage: Stage) -> str:
    maya, sarah = stage.people[people.MAYA.email], stage.people[people.SARAH.email]
    lines = [{"description": "Workbook", "amount_cents": 6000}]
    draft = await maya.post("/v1/invoices", {"client_id": sarah.user_id, "lines": lines})
    return (await maya.post(f"/v1/invoices/{draft['id']}/finalize"))["id"]


async def _tranzila(stage: Stage) -> None:
    maya, sarah = stage.people[people.MAYA.email], stage.people[people.SARAH.email]
    accounts = (await maya.get("/v1/gateway-accounts"))["items"]
    first = next(account["id"] for account in accounts if account["provider"] == "sandbox")
    await maya.call("DELETE", f"/v1/gateway-accounts/{first}")
    invoice = await _invoice(stage)
    await _pay_on_page(stage, f"/v1/invoices/{invoice}")

    async def paid() -> bool:
        return (await sarah.get(f"/v1/invoices/{invoice}"))["status"] == "paid"

    await stage.until("the payment at Tranzila", paid)
    [payment] = (await sarah.get("/v1/payments", invoice_id=invoice))["items"]
    stage.check(
        "Tranzila's notice made Loom look, and what it found is booked once",
        (payment["provider"], payment["status"]) == ("tranzila", "paid"),
    )


async def _compare(stage: Stage) -> None:
    reconciler = Reconciler(stage.database, stage.settings)
    runs = [await reconciler.run(account, *days_before(1), mend=False) for account in await reconciler.accounts()]
    stage.table(
        "books and gateways",
        [{"there": run.rows_there, "here": run.rows_here, "same": run.matched} for run in runs],
    )
    stage.check(
        "what moved at the gateways stands in the books the same, without exception",
        len(runs) >= 2 and all(run.matched == run.rows_there and not run.findings for run in runs),
    )
