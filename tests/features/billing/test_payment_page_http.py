"""Paying on the gateway's own page: two tabs, late ways back, and a way back that lies."""

from __future__ import annotations

from typing import Any

import httpx
import pytest

from tests.features.billing.shop import Shop
from tests.features.billing.world import one, person
from tests.support.waiting import until

CARD = {"number": "4242424242424242", "expiry": "12/34", "cvc": "123"}


def opened(shop: Shop, invoice: str, locale: str = "he", **more: Any) -> dict[str, Any]:
    ways = {"success_url": f"{shop.live.url}/paid", "cancel_url": f"{shop.live.url}/back", "locale": locale} | more
    return shop.live.call(shop.client, "POST", f"/invoices/{invoice}/payment-page", ways)


def stand(shop: Shop, intent: str) -> Any:
    return shop.live.call(shop.client, "POST", f"/payment-intents/{intent}/check")["status"]


def test_the_page_pays_once_however_many_tabs_show_it(shop: Shop) -> None:
    invoice = shop.invoice()
    first, second = opened(shop, invoice), opened(shop, invoice)
    assert (first["http_status"], first["url"]) == (201, second["url"])
    assert "dir=rtl" in httpx.get(first["url"]).text
    for _ in range(2):
        assert httpx.post(first["url"], data=CARD).status_code == 303
    shop.until_paid(invoice)
    assert [payment["status"] for payment in shop.payments(invoice)] == ["paid"]
    assert opened(shop, invoice)["code"] == "invoice_not_open"


def test_coming_back_is_believed_only_after_a_look_at_the_gateway(shop: Shop) -> None:
    shop.at_gateway("POST", "/sandbox/knobs", {"delivery": "never"})
    invoice = shop.invoice()
    page = opened(shop, invoice)
    # The way back without having paid: whatever the address says, nothing was paid.
    assert stand(shop, page["intent_id"]) == "requires_payment_method"
    httpx.post(page["url"], data=CARD)
    assert stand(shop, page["intent_id"]) == "succeeded"
    assert shop.live.call(shop.client, "GET", f"/invoices/{invoice}")["status"] == "paid"
    stranger = person(shop.world.owner, "client")
    assert shop.live.call(stranger, "POST", f"/payment-intents/{page['intent_id']}/check")["code"] == "not_found"


def test_a_page_that_was_given_up_for_another_way_to_pay_is_closed(shop: Shop) -> None:
    invoice = shop.invoice()
    page = opened(shop, invoice)
    assert shop.confirm(page["intent_id"])["code"] == "page_open"
    direct = shop.intent(invoice)
    assert direct["id"] != page["intent_id"]
    until(lambda: httpx.get(page["url"]).status_code == 410, "the page is closed")
    assert shop.confirm(direct["id"])["status"] == "succeeded"
    assert stand(shop, page["intent_id"]) == "canceled"


def test_a_page_that_was_paid_just_before_it_closed_is_booked_and_stays_credit(shop: Shop) -> None:
    shop.at_gateway("POST", "/sandbox/knobs", {"delivery": "withhold"})
    invoice = shop.invoice()
    page = opened(shop, invoice)
    httpx.post(page["url"], data=CARD)
    cash = {"invoice_id": invoice, "amount_cents": 25000, "method": "cash"}
    assert shop.live.call(shop.coach, "POST", "/payments", cash)["http_status"] == 201
    shop.at_gateway("POST", "/sandbox/deliver", {"backwards": True})
    query = "select count(*) as v from public.payments where invoice_id = %s and status = 'paid'"
    until(lambda: one(shop.world.owner, query, invoice) == 2, "the late money is booked")
    seen = shop.live.call(shop.client, "GET", f"/invoices/{invoice}")
    assert (seen["status"], seen["amount_paid_cents"]) == ("paid", 25000)


def test_an_old_page_ends_its_intent_and_the_next_is_a_new_one(shop: Shop) -> None:
    invoice = shop.invoice()
    page = opened(shop, invoice)
    shop.at_gateway("POST", "/sandbox/clock", {"seconds": 86_400})
    try:
        assert stand(shop, page["intent_id"]) == "canceled"
        assert shop.intent(invoice)["id"] != page["intent_id"]
    finally:
        shop.at_gateway("POST", "/sandbox/clock", {"seconds": -86_400})


@pytest.mark.parametrize("field", ["success_url", "cancel_url"])
def test_people_are_sent_back_only_to_where_this_server_belongs(shop: Shop, field: str) -> None:
    said = opened(shop, shop.invoice(), **{field: "https://elsewhere.example/paid"})
    assert (said["http_status"], said["code"]) == (422, "way_back_unknown")
