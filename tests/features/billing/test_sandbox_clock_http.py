"""The sandbox a day ahead of everybody: what is there grows older, and Loom still hears of it and gets on with it."""

from __future__ import annotations

from collections.abc import Iterator

import httpx
import pytest

from tests.features.billing.live import Live
from tests.features.billing.shop import Shop, TranzilaShop
from tests.features.billing.world import World
from tests.support.waiting import until

DAYS = 8 * 86_400


@pytest.fixture
def ahead(live: Live) -> Iterator[None]:
    """Eight days ahead, and as it was when the test is over."""
    assert live.sandbox.call("POST", "/sandbox/clock", {"seconds": DAYS})["http_status"] == 200
    yield
    live.sandbox.call("POST", "/sandbox/clock", {"seconds": -DAYS})


@pytest.mark.usefixtures("ahead")
def test_events_are_taken_and_pages_opened_when_its_clock_is_ahead(shop: Shop) -> None:
    shop.paid()
    until(lambda: shop.handled() == ["handled"] * 3, "the events of the payment are handled")
    ways = {"success_url": f"{shop.live.url}/paid", "cancel_url": f"{shop.live.url}/back", "locale": "en"}
    invoice = shop.invoice()
    page = shop.live.call(shop.client, "POST", f"/invoices/{invoice}/payment-page", ways)
    assert page["http_status"] == 201, page
    card = {"number": "4242424242424242", "expiry": "12/34", "cvc": "123"}
    assert httpx.post(page["url"], data=card).status_code == 303
    shop.until_paid(invoice)


@pytest.mark.usefixtures("ahead")
def test_tranzila_is_paid_at_when_its_clock_is_ahead(live: Live, world: World) -> None:
    till = TranzilaShop(live, world)
    invoice = till.invoice()
    page = till.page(invoice)
    assert page["http_status"] == 201, page
    assert httpx.post(page["url"], data={"number": "4242424242424242"}).status_code == 303
    till.until_paid(invoice)
    assert till.open_alerts() == []


def test_a_clock_that_is_put_forward_for_everybody_lets_the_holds_of_everybody_lapse(shop: Shop) -> None:
    wish = {"amount": 5000, "currency": "ils", "capture_method": "manual"}
    held = shop.at_gateway("POST", "/v1/payment_intents", wish)["id"]
    shop.at_gateway("POST", f"/v1/payment_intents/{held}/confirm", {"payment_method": "pm_card_visa"})
    shop.live.sandbox.call("POST", "/sandbox/clock", {"seconds": DAYS})
    try:
        assert shop.at_gateway("GET", f"/v1/payment_intents/{held}")["status"] == "canceled"
        query = "select count(*) as v from public.webhook_events where event_type = 'payment_intent.canceled'"
        until(lambda: shop.world.row(query)["v"] == 1, "Loom is told of it")
    finally:
        shop.live.sandbox.call("POST", "/sandbox/clock", {"seconds": -DAYS})
