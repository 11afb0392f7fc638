"""Paying on the gateway's own page: two tabs, late ways back, and a way back that lies."""

from __future__ import annotations

import asyncio
import threading
from concurrent.futures import ThreadPoolExecutor
from typing import Any
from uuid import UUID

import httpx
import pytest

from loom.core.errors import AppError
from loom.db.database import Database
from loom.features.billing.service import Billing
from tests.features.billing.shop import Shop, TranzilaShop
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


# the page by the document's link

LOST = {"on": "POST /v1/checkout/sessions", "do": "lost_after", "times": 1}
AWAY = {"on": "POST /v1/checkout/sessions/*/expire", "do": "lost_before", "times": 1}


def link(shop: Shop, invoice: str) -> str:
    return shop.live.call(shop.coach, "POST", f"/invoices/{invoice}/links", {"days": 7})["url"]


def by_card(url: str, language: str = "en") -> httpx.Response:
    return httpx.post(f"{url}/card?lang={language}", timeout=20)


def pages_at_gateway(shop: Shop) -> list[str]:
    return [page["status"] for page in shop.at_gateway("GET", "/v1/checkout/sessions?limit=100")["data"]]


def test_a_lost_answer_leaves_the_payer_a_page(shop: Shop) -> None:
    url = link(shop, shop.invoice())
    shop.at_gateway("POST", "/sandbox/knobs", {"faults": [LOST]})
    assert by_card(url, "en").status_code == 503
    # Much may differ of the next try: when it is, and in which language. It is the same call all the same.
    again = by_card(url, "he")
    assert again.status_code == 303
    assert again.headers["location"].startswith(shop.live.sandbox.url)
    assert by_card(url).headers["location"] == again.headers["location"]
    assert pages_at_gateway(shop) == ["open"]


def test_two_tabs_at_once_get_one_page(shop: Shop) -> None:
    url = link(shop, shop.invoice())
    start = threading.Barrier(2)

    def tab(language: str) -> httpx.Response:
        start.wait()
        return by_card(url, language)

    with ThreadPoolExecutor(2) as tabs:
        answers = list(tabs.map(tab, ["en", "he"]))
    assert [answer.status_code for answer in answers] == [303, 303]
    assert len({answer.headers["location"] for answer in answers}) == 1
    assert pages_at_gateway(shop) == ["open"]


def test_a_page_to_keep_a_card_is_there_after_a_lost_answer(shop: Shop) -> None:
    shop.at_gateway("POST", "/sandbox/knobs", {"faults": [LOST]})
    wish = {
        "practice_id": str(shop.world.practice), "consent_text": "Keep it.", "success_url": shop.live.url,
        "cancel_url": shop.live.url, "locale": "en",
    }  # fmt: skip
    tries = [
        shop.live.call(shop.client, "POST", "/payment-methods/page", wish, **{"Idempotency-Key": "a-card-to-keep"})
        for _ in range(3)
    ]
    assert [one_try["http_status"] for one_try in tries] == [503, 201, 201]
    assert tries[1]["url"] == tries[2]["url"]


def test_what_was_refused_is_asked_anew_once_it_was_put_right(shop: Shop, api_url: str) -> None:
    intent = UUID(opened_elsewhere(shop))

    async def page(way_back: str) -> str:
        async with await Database.open(api_url, max_size=2) as database:
            billing = Billing(database, shop.live.settings)
            found = await billing.open_page(intent, success_url=way_back, cancel_url=way_back, locale="en")
            return found.url

    with pytest.raises(AppError) as refused:
        asyncio.run(page("no address"))
    assert refused.value.code == "gateway_refused"
    assert asyncio.run(page(shop.live.url)).startswith(shop.live.sandbox.url)


def opened_elsewhere(shop: Shop) -> str:
    """An intent to be paid on a page that nobody has asked for yet."""
    query = "select public.begin_payment_intent(%s, null, 'hosted') as v"
    return str(one(shop.world.owner, query, shop.invoice()))


def time_is_over(shop: Shop, invoice: str) -> None:
    shop.world.owner.execute(
        "update public.payment_intents set page_expires_at = now() - interval '1 second' where invoice_id = %s",
        [invoice],
    )


@pytest.mark.parametrize("tried", [False, True])
def test_a_page_whose_time_is_over_is_closed_and_another_is_opened(shop: Shop, tried: bool) -> None:
    invoice = shop.invoice()
    url = link(shop, invoice)
    first = by_card(url).headers["location"]
    if tried:
        httpx.post(first, data=CARD | {"number": "4000000000000002"})
    time_is_over(shop, invoice)
    second = by_card(url).headers["location"]
    assert second != first
    assert httpx.get(first).status_code == 410
    httpx.post(second, data=CARD)
    shop.until_paid(invoice)


def test_a_page_that_ended_at_the_gateway_is_followed_by_another(shop: Shop) -> None:
    """It was tried with a bad card before, so there is an intent that waits there."""
    invoice = shop.invoice()
    url = link(shop, invoice)
    first = by_card(url).headers["location"]
    httpx.post(first, data=CARD | {"number": "4000000000000002"})
    shop.at_gateway("POST", f"/v1/checkout/sessions/{first.rsplit('/', 1)[1]}/expire")
    time_is_over(shop, invoice)
    second = by_card(url).headers["location"]
    assert second.startswith(shop.live.sandbox.url)
    assert second != first


def test_a_page_that_was_paid_before_its_time_was_over_is_not_followed_by_another(shop: Shop) -> None:
    shop.at_gateway("POST", "/sandbox/knobs", {"delivery": "never"})
    invoice = shop.invoice()
    url = link(shop, invoice)
    httpx.post(by_card(url).headers["location"], data=CARD)
    time_is_over(shop, invoice)
    assert "/back" in by_card(url).headers["location"]
    assert [payment["status"] for payment in shop.payments(invoice)] == ["paid"]
    assert pages_at_gateway(shop) == ["complete"]


def test_while_the_gateway_is_away_a_page_whose_time_is_over_is_not_shown(shop: Shop) -> None:
    invoice = shop.invoice()
    url = link(shop, invoice)
    by_card(url)
    time_is_over(shop, invoice)
    shop.at_gateway("POST", "/sandbox/knobs", {"faults": [AWAY]})
    assert by_card(url).status_code == 503
    assert by_card(url).status_code == 303


def test_a_frontend_that_asks_for_a_page_whose_time_is_over_begins_another(shop: Shop) -> None:
    invoice = shop.invoice()
    first = opened(shop, invoice)
    time_is_over(shop, invoice)
    assert opened(shop, invoice)["code"] == "intent_closed"
    second = opened(shop, invoice)
    assert second["http_status"] == 201
    assert second["url"] != first["url"]


def test_whoever_failed_at_tranzila_is_sent_back_by_a_form(shop: Shop) -> None:
    terminal = TranzilaShop(shop.live, shop.world)
    page = httpx.URL(by_card(link(terminal, terminal.invoice())).headers["location"])
    for way in ("success_url_address", "fail_url_address"):
        answer = httpx.post(page.params[way], data={"Response": "004"}, follow_redirects=True, timeout=30)
        assert answer.status_code == 200
        assert "text/html" in answer.headers["content-type"]
