"""The sandbox in Stripe's dialect, asked by Stripe's own SDK: as strict as Stripe, as unreliable as it is told."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from threading import Thread
from typing import Any
from uuid import uuid4

import httpx
import pytest
import stripe
from tests.support.sandbox import Sandbox, running_sandbox
from tests.support.waiting import until

from loom.providers.payments.signatures import SIGNATURE_HEADER

# Stripe's SDK hands forms to httpx the old way.
pytestmark = pytest.mark.filterwarnings("ignore:Use 'content=<...>':DeprecationWarning")


@pytest.fixture(scope="module")
def sandbox(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Sandbox]:
    with running_sandbox(tmp_path_factory.mktemp("sandbox")) as running:
        yield running


class Shop:
    """One account, by Stripe's SDK and by the sandbox's own knobs."""

    def __init__(self, sandbox: Sandbox) -> None:
        self.sandbox = sandbox
        self.key = f"sk_test_{uuid4().hex}"
        self.http = stripe.HTTPXClient(allow_sync_methods=True)
        self.stripe = stripe.StripeClient(
            self.key,
            base_addresses={"api": sandbox.url},
            max_network_retries=0,
            http_client=self.http,
        ).v1

    def knob(self, path: str, body: Any) -> dict[str, Any]:
        return self.sandbox.call("POST", f"/sandbox/{path}", body, self.key)

    def intent(self, **more: Any) -> stripe.PaymentIntent:
        return self.stripe.payment_intents.create({"amount": 35000, "currency": "ils", **more})

    def pay(self, card: str = "pm_card_visa", **more: Any) -> stripe.PaymentIntent:
        return self.stripe.payment_intents.confirm(self.intent(**more).id, {"payment_method": card})


@pytest.fixture
def shop(sandbox: Sandbox) -> Iterator[Shop]:
    opened = Shop(sandbox)
    yield opened
    opened.http.close()


@pytest.mark.parametrize(
    ("card", "status"),
    [
        ("pm_card_visa", "succeeded"),
        ("pm_card_authenticationRequired", "requires_action"),
        ("pm_sandbox_processing", "processing"),
    ],
)
def test_each_card_does_what_its_name_says(shop: Shop, card: str, status: str) -> None:
    assert shop.pay(card).status == status


@pytest.mark.parametrize(
    ("card", "code", "decline_code"),
    [
        ("pm_card_chargeDeclined", "card_declined", "generic_decline"),
        ("pm_card_visa_chargeDeclined", "card_declined", "generic_decline"),
        ("pm_card_chargeDeclinedInsufficientFunds", "card_declined", "insufficient_funds"),
        ("pm_card_chargeDeclinedExpiredCard", "expired_card", "expired_card"),
    ],
)
def test_a_decline_is_a_card_error_with_its_intent(shop: Shop, card: str, code: str, decline_code: str) -> None:
    with pytest.raises(stripe.CardError) as refused:
        shop.pay(card)
    error: Any = refused.value.error
    assert (refused.value.http_status, error.code, error.decline_code) == (402, code, decline_code)
    assert error.payment_intent.status == "requires_payment_method"
    charge = shop.stripe.charges.retrieve(error.charge)
    assert (charge.status, charge.paid, charge.failure_code) == ("failed", False, code)


def test_the_remaining_states_are_reached_too(shop: Shop) -> None:
    assert shop.intent().status == "requires_payment_method"
    assert shop.intent(payment_method="pm_card_visa").status == "requires_confirmation"
    held = shop.pay(capture_method="manual")
    assert (held.status, held.amount_capturable, held.amount_received) == ("requires_capture", 35000, 0)
    part = shop.stripe.payment_intents.capture(held.id, {"amount_to_capture": 20000})
    assert (part.status, part.amount_received) == ("succeeded", 20000)
    gone = shop.stripe.payment_intents.cancel(shop.intent().id)
    assert gone.status == "canceled"
    with pytest.raises(stripe.InvalidRequestError) as refused:
        shop.stripe.payment_intents.confirm(gone.id, {"payment_method": "pm_card_visa"})
    assert refused.value.code == "payment_intent_unexpected_state"


def test_off_session_a_card_that_asks_is_declined_and_proven_once_it_is_not(shop: Shop) -> None:
    customer = shop.stripe.customers.create()
    with pytest.raises(stripe.CardError) as refused:
        shop.intent(payment_method="pm_card_authenticationRequired", confirm=True, off_session=True)
    assert refused.value.code == "authentication_required"
    setup = shop.stripe.setup_intents.create(
        {"customer": customer.id, "payment_method": "pm_card_authenticationRequiredOnSetup", "confirm": True}
    )
    assert setup.status == "requires_action"
    assert setup.next_action
    httpx.post(str(setup.next_action.redirect_to_url.url), data={"answer": "approve"})
    kept = shop.stripe.setup_intents.retrieve(setup.id)
    assert kept.status == "succeeded"
    paid = shop.intent(customer=customer.id, payment_method=str(kept.payment_method), confirm=True, off_session=True)
    assert paid.status == "succeeded"


def test_a_partial_approval_takes_less_and_says_so(shop: Shop) -> None:
    paid = shop.pay("pm_sandbox_partial")
    assert (paid.status, paid.amount, paid.amount_received) == ("succeeded", 35000, 21000)


def test_the_same_key_gives_the_same_answer_and_another_use_of_it_is_refused(shop: Shop) -> None:
    with ThreadPoolExecutor(8) as pool:
        made = list(
            pool.map(
                lambda _: shop.stripe.payment_intents.create(
                    {"amount": 100, "currency": "ils"}, {"idempotency_key": "k"}
                ),
                range(8),
            )
        )
    assert len({intent.id for intent in made}) == 1
    with pytest.raises(stripe.IdempotencyError):
        shop.stripe.payment_intents.create({"amount": 101, "currency": "ils"}, {"idempotency_key": "k"})
    intent = made[0]
    for _ in range(2):
        with pytest.raises(stripe.CardError):
            shop.stripe.payment_intents.confirm(
                intent.id, {"payment_method": "pm_card_chargeDeclined"}, {"idempotency_key": "declined"}
            )
    assert len(shop.stripe.charges.list().data) == 1
    # A day later the key is forgotten; the state of the intent is what then protects.
    shop.knob("clock", {"seconds": 86_401})
    again = shop.stripe.payment_intents.create({"amount": 101, "currency": "ils"}, {"idempotency_key": "k"})
    assert again.id != intent.id


def test_refunds_never_exceed_the_charge_and_may_fail_later(shop: Shop) -> None:
    paid = shop.pay()
    for amount in (20000, 15000):
        assert shop.stripe.refunds.create({"payment_intent": paid.id, "amount": amount}).status == "succeeded"
    with pytest.raises(stripe.InvalidRequestError) as refused:
        shop.stripe.refunds.create({"payment_intent": paid.id, "amount": 1})
    assert refused.value.code == "charge_already_refunded"
    late = shop.pay("pm_card_refundFail")
    refund = shop.stripe.refunds.create({"payment_intent": late.id})
    assert refund.status == "succeeded"
    assert shop.stripe.refunds.retrieve(refund.id).status == "failed"
    assert shop.stripe.charges.retrieve(str(late.latest_charge)).amount_refunded == 0
    waiting = shop.stripe.refunds.create({"payment_intent": shop.pay("pm_card_pendingRefund").id})
    assert waiting.status == "pending"
    assert shop.stripe.refunds.cancel(waiting.id).status == "canceled"


def test_eight_refunds_at_once_give_back_what_was_paid_and_no_more(shop: Shop) -> None:
    paid = shop.pay()

    def refund(_: int) -> int:
        try:
            return shop.stripe.refunds.create({"payment_intent": paid.id, "amount": 10000}).amount
        except stripe.InvalidRequestError:
            return 0

    with ThreadPoolExecutor(8) as pool:
        assert sum(pool.map(refund, range(8))) == 30000


@pytest.mark.parametrize(
    ("params", "code"),
    [
        ({"amount": 0}, "parameter_invalid_integer"),
        ({"amount": -1}, "parameter_invalid_integer"),
        ({"amount": 100_000_000}, "amount_too_large"),
        ({"amount": "12.5"}, "parameter_invalid_integer"),
        ({"currency": "zzz"}, "parameter_invalid_string"),
        ({"payment_method": "pm_card_nonsense"}, "resource_missing"),
        ({"metadata": {"reference": "x" * 501}}, "parameter_invalid_hash"),
    ],
)
def test_what_stripe_refuses_is_refused(shop: Shop, params: dict[str, Any], code: str) -> None:
    with pytest.raises(stripe.InvalidRequestError) as refused:
        shop.intent(**params)
    assert refused.value.code == code


def test_keys_that_are_none_and_objects_of_others_are_refused(shop: Shop, sandbox: Sandbox) -> None:
    assert sandbox.call("GET", "/v1/charges", None, "sk_live_x")["http_status"] == 401
    assert sandbox.call("GET", "/v1/charges")["http_status"] == 401
    stranger = Shop(sandbox)
    with pytest.raises(stripe.InvalidRequestError):
        stranger.stripe.payment_intents.retrieve(shop.intent().id)
    stranger.http.close()
    assert sandbox.call("POST", "/v1/nonsense", {}, shop.key)["http_status"] == 404


@pytest.mark.parametrize("do", ["lost_before", "lost_after", "error_before", "error_after", "html", "html_after"])
def test_a_bad_day_is_had_on_demand_and_the_key_finds_what_was_done(shop: Shop, do: str) -> None:
    shop.knob("knobs", {"faults": [{"on": "POST /v1/payment_intents", "do": do}]})
    with pytest.raises(stripe.StripeError):
        shop.stripe.payment_intents.create({"amount": 100, "currency": "ils"}, {"idempotency_key": do})
    done = len(shop.stripe.payment_intents.list().data)
    assert done == (1 if do.endswith("after") else 0)
    shop.stripe.payment_intents.create({"amount": 100, "currency": "ils"}, {"idempotency_key": do})
    assert len(shop.stripe.payment_intents.list().data) == 1


def test_an_authorisation_lapses_when_the_clock_is_put_forward(shop: Shop) -> None:
    held = shop.pay(capture_method="manual")
    shop.knob("clock", {"seconds": 8 * 86_400})
    gone = shop.stripe.payment_intents.retrieve(held.id)
    assert (gone.status, gone.cancellation_reason) == ("canceled", "expired")


def test_lists_are_paged_the_newest_first(shop: Shop) -> None:
    made = [shop.intent(amount=amount).id for amount in range(1, 8)]
    pages = shop.stripe.payment_intents.list({"limit": 3})
    assert [intent.id for intent in pages.auto_paging_iter()] == list(reversed(made))
    found = shop.intent(metadata={"reference": "ours"})
    hits = shop.stripe.payment_intents.search({"query": "metadata['reference']:'ours'"})
    assert [hit.id for hit in hits.data] == [found.id]


# the hosted page


def page(shop: Shop, **more: Any) -> stripe.checkout.Session:
    price = {"currency": "ils", "unit_amount": 9900, "product_data": {"name": "חשבונית 7"}}
    return shop.stripe.checkout.sessions.create({
        "mode": "payment", "success_url": "http://127.0.0.1/ok?s={CHECKOUT_SESSION_ID}",
        "cancel_url": "http://127.0.0.1/back", "line_items": [{"price_data": price, "quantity": 1}],
        "payment_intent_data": {"metadata": {"reference": "r1"}}, **more,
    })  # fmt: skip


def card(number: str = "4242 4242 4242 4242", expiry: str = "12/34", cvc: str = "123") -> dict[str, str]:
    return {"number": number, "expiry": expiry, "cvc": cvc}


def test_people_pay_on_the_hosted_page_in_both_languages_and_without_scripts(shop: Shop) -> None:
    opened = page(shop, locale="he")
    url = str(opened.url)
    hebrew, english = httpx.get(url).text, httpx.get(url, params={"lang": "en"}).text
    assert "<html lang=he dir=rtl>" in hebrew
    assert "מספר כרטיס" in hebrew
    assert "<html lang=en dir=ltr>" in english
    assert "Card number" in english
    assert "<script" not in hebrew + english
    for wrong in (card("1234"), card(expiry="01/20"), card(expiry="x"), card(cvc="1")):
        assert "role=alert" in httpx.post(url, data=wrong).text
    assert "הכרטיס נדחה" in httpx.post(url, data=card("4000000000000002")).text
    done = httpx.post(url, data=card())
    assert (done.status_code, done.headers["location"]) == (303, f"http://127.0.0.1/ok?s={opened.id}")
    session = shop.stripe.checkout.sessions.retrieve(opened.id)
    assert (session.status, session.payment_status) == ("complete", "paid")
    paid: Any = shop.stripe.payment_intents.retrieve(str(session.payment_intent))
    assert paid.metadata["reference"] == "r1"
    # Reloaded, sent again and opened in another tab it charges nothing more.
    for again in (httpx.get(url), httpx.post(url, data=card())):
        assert again.status_code == 303
    assert len([charge for charge in shop.stripe.charges.list().data if charge.paid]) == 1


def test_a_question_of_the_issuer_leads_back_to_the_shop_or_to_the_page(shop: Shop) -> None:
    for answer, leads in (("refuse", "/checkout/"), ("approve", "http://127.0.0.1/ok")):
        url = str(page(shop).url)
        asked = httpx.post(url, data=card("4000002760003184"))
        assert re.search(r"/challenge/pi_", asked.headers["location"])
        assert "₪99.00" in httpx.get(asked.headers["location"]).text
        said = httpx.post(asked.headers["location"], data={"answer": answer})
        assert said.headers["location"].startswith(leads)
        assert httpx.get(asked.headers["location"]).status_code == 200


def test_a_page_that_is_old_or_given_up_charges_nothing(shop: Shop) -> None:
    late, closed = page(shop), page(shop)
    shop.stripe.checkout.sessions.expire(closed.id)
    shop.knob("clock", {"seconds": 86_401})
    for opened in (late, closed):
        answer = httpx.post(f"{shop.sandbox.url}/checkout/{opened.id}", data=card())
        assert answer.status_code == 410
    assert shop.stripe.charges.list().data == []
    assert httpx.get(f"{shop.sandbox.url}/checkout/cs_test_nobody").status_code == 404


def test_no_card_number_is_kept(tmp_path: Path) -> None:
    with running_sandbox(tmp_path) as own:
        other = Shop(own)
        httpx.post(str(page(other).url), data=card("5555 5555 5555 4444"))
        other.http.close()
    kept = b"".join(path.read_bytes() for path in tmp_path.iterdir())
    assert b"4444" in kept
    assert b"5555555555554444" not in kept
    assert b"5555 5555" not in kept


# events


@pytest.fixture
def listener() -> Iterator[tuple[str, list[tuple[dict[str, str], bytes]], list[int]]]:
    """Somebody who takes webhooks; the list of answers to give is the caller's, 200 once it is empty."""
    got: list[tuple[dict[str, str], bytes]] = []
    answers: list[int] = []

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers["content-length"]))
            got.append(({name.lower(): value for name, value in self.headers.items()}, body))
            self.send_response(answers.pop(0) if answers else 200)
            self.send_header("content-length", "0")
            self.end_headers()

        def log_message(self, *_: object) -> None:
            """Nothing to say."""

    server = HTTPServer(("127.0.0.1", 0), Handler)
    thread = Thread(target=server.serve_forever, daemon=True)
    thread.start()
    yield f"http://127.0.0.1:{server.server_port}/hook", got, answers
    server.shutdown()
    thread.join()
    server.server_close()


Listener = tuple[str, list[tuple[dict[str, str], bytes]], list[int]]


def test_events_are_signed_as_stripes_own_library_expects(shop: Shop, listener: Listener) -> None:
    url, got, answers = listener
    answers.append(500)
    endpoint = shop.stripe.webhook_endpoints.create({"url": url, "enabled_events": ["payment_intent.succeeded"]})
    shop.pay()
    until(lambda: len(got) == 2, "the event is sent again after a failure")
    assert got[0][1] == got[1][1]
    headers, body = got[1]
    event: Any = stripe.Webhook.construct_event(body, headers[SIGNATURE_HEADER], str(endpoint.secret))
    assert (event.type, event.data.object.status) == ("payment_intent.succeeded", "succeeded")
    with pytest.raises(stripe.SignatureVerificationError):
        stripe.Webhook.construct_event(body, headers[SIGNATURE_HEADER], "whsec_other")


def test_events_come_twice_never_or_backwards_on_demand(shop: Shop, listener: Listener) -> None:
    url, got, _ = listener
    shop.stripe.webhook_endpoints.create({"url": url, "enabled_events": ["*"]})
    shop.knob("knobs", {"delivery": "never"})
    shop.intent()
    shop.knob("knobs", {"delivery": "withhold"})
    shop.pay()
    assert shop.knob("deliver", {"backwards": True})["released"] == 3
    until(lambda: len(got) == 3, "what was withheld has come")
    types = [json.loads(body)["type"] for _, body in got]
    assert types == ["payment_intent.succeeded", "charge.succeeded", "payment_intent.created"]
    shop.knob("knobs", {"delivery": "twice"})
    shop.intent()
    until(lambda: len(got) == 5, "it came twice")
    assert got[3][1] == got[4][1]
    assert len(shop.stripe.events.list({"limit": 100}).data) == 5


def test_what_everybody_is_told_holds_for_whoever_was_not_told_otherwise(tmp_path: Path) -> None:
    with running_sandbox(tmp_path) as own:
        fault = {"on": "POST /v1/refunds", "do": "html", "times": 1}
        own.call("POST", "/sandbox/knobs", {"refunds": "pending", "faults": [fault]})
        told, other = Shop(own), Shop(own)
        told.knob("knobs", {"refunds": "succeed"})
        with pytest.raises(stripe.StripeError):
            other.stripe.refunds.create({"payment_intent": other.pay().id})
        states = [one.stripe.refunds.create({"payment_intent": one.pay().id}).status for one in (told, other)]
        assert states == ["succeeded", "pending"]
        told.http.close()
        other.http.close()
