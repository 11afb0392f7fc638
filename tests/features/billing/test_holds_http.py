"""Paying for a time that is held over HTTP, at gateways that really answer, in both dialects."""

from __future__ import annotations

from datetime import datetime
from typing import Any, Literal
from uuid import UUID

import httpx
import pytest

from tests.features.billing.live import Live
from tests.features.billing.shop import Shop, TranzilaShop
from tests.features.billing.world import World, person
from tests.support.scheduling import JERUSALEM, add_template, at, set_hours
from tests.support.waiting import until

CARD = {"number": "4242424242424242", "expiry": "12/34", "cvc": "123"}


@pytest.fixture(params=["stripe", "tranzila"])
def counter(request: pytest.FixtureRequest, live: Live, world: World) -> Shop:
    """A practice with cards in one of the dialects, and a template that is booked by paying."""
    return Shop(live, world) if request.param == "stripe" else TranzilaShop(live, world)


@pytest.fixture
def offer(world: World) -> UUID:
    set_hours(world.owner, world.coach, JERUSALEM, "09:00", "17:00")
    return add_template(world.owner, world.coach, booking_mode="prepaid")


def hold(shop: Shop, offer: UUID, start: datetime, client: UUID | None = None) -> str:
    body = {"template_id": str(offer), "starts_at": start.isoformat()}
    held = shop.live.call(client or shop.client, "POST", "/holds", body)
    assert held["http_status"] == 201, held
    return held["id"]


def page(shop: Shop, held: str) -> dict[str, Any]:
    ways = {"success_url": f"{shop.live.url}/paid", "cancel_url": f"{shop.live.url}/back", "locale": "he"}
    return shop.live.call(shop.client, "POST", f"/booking-requests/{held}/payment-page", ways)


def seen(shop: Shop, held: str) -> dict[str, Any]:
    return shop.live.call(shop.client, "GET", f"/booking-requests/{held}")


def expire(shop: Shop, held: str) -> None:
    shop.world.owner.execute("update public.booking_requests set expires_at = now() where id = %s", [held])
    shop.world.owner.execute(
        "update public.coach_blocks set expires_at = now() where coach_id = %s and kind = 'hold'", [shop.coach]
    )


def end(shop: Shop, held: str, status: Literal["booked", "lost"]) -> None:
    until(lambda: seen(shop, held)["status"] == status, f"the hold is {status}")


def test_a_page_that_is_paid_makes_the_session_and_its_paid_invoice(counter: Shop, offer: UUID) -> None:
    held = hold(counter, offer, at(3))
    opened, again = page(counter, held), page(counter, held)
    assert (opened["http_status"], opened["url"]) == (201, again["url"])
    assert httpx.post(opened["url"], data=CARD).status_code == 303
    end(counter, held, "booked")
    session = counter.live.call(counter.client, "GET", f"/sessions/{seen(counter, held)['session_id']}")
    assert (session["status"], session["billing_status"]) == ("scheduled", "paid")
    intent = counter.live.call(counter.client, "GET", f"/payment-intents/{opened['intent_id']}")
    assert (intent["status"], intent["booking_request_id"]) == ("succeeded", held)
    invoice = counter.live.call(counter.client, "GET", f"/invoices/{intent['invoice_id']}")
    assert (invoice["status"], invoice["amount_paid_cents"]) == ("paid", 30000)
    assert page(counter, held)["code"] == "request_closed"


def test_paid_when_the_time_was_gone_the_money_goes_back_by_itself(counter: Shop, offer: UUID) -> None:
    held = hold(counter, offer, at(3))
    opened = page(counter, held)
    expire(counter, held)
    hold(counter, offer, at(3), person(counter.world.owner, "client"))
    assert httpx.post(opened["url"], data=CARD).status_code == 303
    end(counter, held, "lost")
    payments = "/payments?limit=10"

    def returned() -> bool:
        return [paid["status"] for paid in counter.live.call(counter.client, "GET", payments)["items"]] == ["refunded"]

    until(returned, "the money went back")
    assert counter.live.call(counter.client, "GET", f"/payment-intents/{opened['intent_id']}")["invoice_id"] is None


def test_a_card_given_here_books_and_a_decline_leaves_the_hold(shop: Shop, offer: UUID) -> None:
    held = hold(shop, offer, at(3))
    path = f"/booking-requests/{held}/payment-intents"
    assert shop.live.call(person(shop.world.owner, "client"), "POST", path)["code"] == "not_found"
    intent = shop.live.call(shop.client, "POST", path)
    assert (intent["http_status"], intent["amount_cents"], intent["invoice_id"]) == (201, 30000, None)
    assert shop.confirm(intent["id"], "pm_card_chargeDeclined")["status"] == "requires_payment_method"
    assert seen(shop, held)["status"] == "pending"
    paid = shop.confirm(intent["id"])
    assert (paid["status"], seen(shop, held)["status"]) == ("succeeded", "booked")


def test_a_refund_whose_sending_was_lost_is_sent_by_the_repair_once(shop: Shop, offer: UUID) -> None:
    held = hold(shop, offer, at(3))
    intent = shop.live.call(shop.client, "POST", f"/booking-requests/{held}/payment-intents")["id"]
    shop.at_gateway("POST", "/sandbox/knobs", {"faults": [{"on": "POST /v1/refunds", "do": "lost_after"}]})
    shop.world.owner.execute(
        "update public.booking_requests set status = 'withdrawn', answered_at = now() where id = %s", [held]
    )
    # The payer was on the way when the hold was given up.
    shop.at_gateway("POST", f"/v1/payment_intents/{known(shop, intent)}/confirm", {"payment_method": "pm_card_visa"})
    until(lambda: refunds(shop, intent) in (["processing"], ["succeeded"]), "the refund was sent")
    shop.world.owner.execute("update public.payment_refunds set next_check_at = now() where status = 'processing'")
    shop.world.owner.execute("select private.enqueue('billing.repair_unknown', '{\"timestamp\": 0}')")
    until(lambda: refunds(shop, intent) == ["succeeded"], "the refund is known")
    assert [refund["amount"] for refund in shop.at_gateway("GET", "/v1/refunds")["data"]] == [30000]


def known(shop: Shop, intent: str) -> str:
    return shop.world.row("select provider_intent_id from public.payment_intents where id = %s", intent)[
        "provider_intent_id"
    ]


def refunds(shop: Shop, intent: str) -> list[str]:
    rows = shop.world.owner.execute(
        "select r.status::text from public.payment_refunds r join public.payments p on p.id = r.payment_id"
        " where p.intent_id = %s", [intent],
    ).fetchall()  # fmt: skip
    return [row["status"] for row in rows]
