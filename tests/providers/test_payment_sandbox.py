"""The sandbox gateway: as strict as the real ones, and as unreliable as it is told to be."""

from __future__ import annotations

import json
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from threading import Thread
from typing import Any
from uuid import uuid4

import httpx
import pytest
from tests.support.sandbox import Sandbox, running_sandbox
from tests.support.waiting import until

from loom.providers.errors import RetryableError
from loom.providers.payments import GatewayRefusedError, OutcomeUnknownError, WebhookRefusedError
from loom.providers.payments.sandbox import SIGNATURE_HEADER, SandboxGateway, SandboxWebhooks
from loom.providers.payments.signatures import sign, verify


@pytest.fixture(scope="module")
def sandbox(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Sandbox]:
    with running_sandbox(tmp_path_factory.mktemp("sandbox")) as running:
        yield running


@pytest.fixture
def account(sandbox: Sandbox) -> dict[str, Any]:
    return sandbox.call("POST", "/accounts", {"name": "Test"})


class Shop:
    """Shortcuts for one account."""

    def __init__(self, sandbox: Sandbox, account: dict[str, Any]) -> None:
        self.sandbox = sandbox
        self.account = account

    def call(self, method: str, path: str, body: Any = None, **headers: str) -> dict[str, Any]:
        return self.sandbox.call(method, path, body, self.account["api_key"], **headers)

    def intent(self, amount: int = 35000, **more: Any) -> dict[str, Any]:
        return self.call("POST", "/intents", {"amount": amount, "currency": "ILS", **more})

    def pay(self, card: str = "tok_approve", amount: int = 35000) -> dict[str, Any]:
        return self.call("POST", f"/intents/{self.intent(amount)['id']}/confirm", {"card": card})


@pytest.fixture
def shop(sandbox: Sandbox, account: dict[str, Any]) -> Shop:
    return Shop(sandbox, account)


@pytest.mark.parametrize(
    ("card", "status", "code"),
    [
        ("tok_approve", "succeeded", None),
        ("tok_decline", "requires_payment_method", "card_declined"),
        ("tok_expired", "requires_payment_method", "expired_card"),
        ("tok_3ds", "requires_action", None),
        ("tok_processing", "processing", None),
    ],
)
def test_each_card_does_what_its_name_says(shop: Shop, card: str, status: str, code: str | None) -> None:
    said = shop.pay(card)
    assert (said["status"], (said["last_error"] or {}).get("code")) == (status, code)


def test_the_remaining_states_are_reached_too(shop: Shop) -> None:
    assert shop.intent()["status"] == "requires_payment_method"
    assert shop.intent(card="tok_approve")["status"] == "requires_confirmation"
    held = shop.intent(capture="manual")
    assert shop.call("POST", f"/intents/{held['id']}/confirm", {"card": "tok_approve"})["status"] == "requires_capture"
    assert shop.call("POST", f"/intents/{held['id']}/capture")["status"] == "succeeded"
    gone = shop.intent()
    assert shop.call("POST", f"/intents/{gone['id']}/cancel")["status"] == "canceled"
    assert shop.call("POST", f"/intents/{gone['id']}/confirm", {"card": "tok_approve"})["http_status"] == 409


def test_the_payer_answers_the_issuer_on_a_page(sandbox: Sandbox, shop: Shop) -> None:
    asked = shop.pay("tok_3ds")
    page = asked["next_action"]["url"]
    assert page.startswith(sandbox.url)
    assert "Approve" in httpx.get(page).text
    httpx.post(page, data={"answer": "approve"})
    assert shop.call("GET", f"/intents/{asked['id']}")["status"] == "succeeded"
    refused = shop.pay("tok_3ds")
    shop.call("POST", f"/intents/{refused['id']}/authenticate", {"approved": False})
    assert shop.call("GET", f"/intents/{refused['id']}")["last_error"]["code"] == "authentication_failed"


def test_a_time_out_after_charging_leaves_the_charge_and_one_before_it_none(shop: Shop) -> None:
    charged, lost = shop.intent(), shop.intent()
    assert shop.call("POST", f"/intents/{charged['id']}/confirm", {"card": "tok_timeout"})["http_status"] == 504
    assert shop.call("POST", f"/intents/{lost['id']}/confirm", {"card": "tok_lost"})["http_status"] == 504
    assert shop.call("GET", f"/intents/{charged['id']}")["status"] == "succeeded"
    assert shop.call("GET", f"/intents/{lost['id']}")["status"] == "requires_payment_method"


def test_the_same_key_gives_the_first_answer_and_refuses_other_parameters(shop: Shop) -> None:
    key = {"Idempotency-Key": str(uuid4())}
    body = {"amount": 5, "currency": "ILS"}
    first = shop.call("POST", "/intents", body, **key)
    assert shop.call("POST", "/intents", body, **key) == first
    other = shop.call("POST", "/intents", body | {"amount": 6}, **key)
    assert (other["http_status"], other["error"]["code"]) == (400, "idempotency_mismatch")
    # A lost answer is given again as it was, so it must be looked up.
    intent, again = shop.intent(), {"Idempotency-Key": str(uuid4())}
    for _ in range(2):
        said = shop.call("POST", f"/intents/{intent['id']}/confirm", {"card": "tok_timeout"}, **again)
        assert said["http_status"] == 504
    assert len(shop.call("GET", "/charges")["data"]) == 1


def test_refunds_never_exceed_the_charge_at_once(shop: Shop) -> None:
    charge = shop.pay(amount=100)["charge"]
    with ThreadPoolExecutor(8) as pool:
        said = list(pool.map(lambda _: shop.call("POST", "/refunds", {"charge": charge, "amount": 30}), range(8)))
    assert sorted(one["http_status"] for one in said) == [200] * 3 + [409] * 5


def test_a_refund_can_fail_later_and_gives_the_charge_its_money_back(shop: Shop) -> None:
    charge = shop.pay("tok_late_refund_failure", amount=100)["charge"]
    refund = shop.call("POST", "/refunds", {"charge": charge, "amount": 100})
    assert shop.call("GET", f"/refunds/{refund['id']}")["status"] == "failed"
    kinds = [event["type"] for event in shop.call("GET", "/events")["data"]]
    assert kinds[-2:] == ["refund.created", "refund.failed"]
    assert shop.call("POST", "/refunds", {"charge": charge, "amount": 100})["status"] == "failed"


@pytest.mark.parametrize(
    ("body", "code"),
    [
        ({"amount": 0, "currency": "ILS"}, "amount_invalid"),
        ({"amount": 1.5, "currency": "ILS"}, "amount_invalid"),
        ({"amount": 100_000_000, "currency": "ILS"}, "amount_invalid"),
        ({"amount": 5, "currency": "ils"}, "currency_invalid"),
        ({"amount": 5}, "currency_invalid"),
        ([1], "malformed"),
    ],
)
def test_bad_input_is_refused_with_a_code(shop: Shop, body: Any, code: str) -> None:
    assert shop.call("POST", "/intents", body)["error"]["code"] == code


def test_one_account_sees_nothing_of_another_and_nobody_sees_anything(sandbox: Sandbox, shop: Shop) -> None:
    intent = shop.intent()
    stranger = sandbox.call("POST", "/accounts", {"name": "Other"})
    assert sandbox.call("GET", f"/intents/{intent['id']}", None, stranger["api_key"])["http_status"] == 404
    assert sandbox.call("GET", f"/intents/{intent['id']}")["http_status"] == 401
    confirm = f"/intents/{intent['id']}/confirm"
    assert sandbox.call("POST", confirm, {"card": "tok_approve"}, **{"Intent-Secret": "x"})["http_status"] == 401
    said = sandbox.call("POST", confirm, {"card": "tok_approve"}, **{"Intent-Secret": intent["client_secret"]})
    assert said["status"] == "succeeded"


def test_state_survives_a_restart(tmp_path: Path) -> None:
    with running_sandbox(tmp_path) as first:
        shop = Shop(first, first.call("POST", "/accounts", {"name": "Test"}))
        charge = shop.pay()["charge"]
    with running_sandbox(tmp_path) as second:
        again = Shop(second, shop.account)
        assert [one["id"] for one in again.call("GET", "/charges")["data"]] == [charge]


# events


class Inbox:
    """A receiver that notes what came and answers as told."""

    def __init__(self) -> None:
        self.received: list[tuple[str, bytes]] = []
        self.statuses: list[int] = []
        inbox = self

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                body = self.rfile.read(int(self.headers["content-length"]))
                inbox.received.append((self.headers[SIGNATURE_HEADER], body))
                self.send_response(inbox.statuses.pop(0) if inbox.statuses else 200)
                self.end_headers()

            def log_message(self, *_: object) -> None:
                pass

        self.server = HTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self.server.server_port}/hook"
        Thread(target=self.server.serve_forever, daemon=True).start()

    @property
    def types(self) -> list[str]:
        return [json.loads(body)["type"] for _, body in self.received]


@pytest.fixture
def inbox(shop: Shop) -> Iterator[Inbox]:
    made = Inbox()
    shop.call("PUT", "/webhook_endpoint", {"url": made.url})
    yield made
    shop.call("POST", "/control", {"delivery": "never"})
    made.server.shutdown()
    made.server.server_close()


def test_events_are_signed_and_delivered_again_until_taken(shop: Shop, inbox: Inbox) -> None:
    inbox.statuses = [500]
    shop.pay()
    until(lambda: len(inbox.received) >= 3, "created, created again and succeeded")
    assert inbox.types.count("intent.created") == 2
    for header, body in inbox.received:
        event = SandboxWebhooks().read(
            {SIGNATURE_HEADER: header}, body, [shop.account["webhook_secret"]], datetime.now(UTC)
        )
        assert event.subject is not None
        assert b"client_secret" not in body


def test_events_come_twice_withheld_backwards_or_never_if_told(shop: Shop, inbox: Inbox) -> None:
    shop.call("POST", "/control", {"delivery": "twice"})
    shop.intent()
    until(lambda: inbox.types == ["intent.created"] * 2, "two copies")
    shop.call("POST", "/control", {"delivery": "withhold"})
    shop.pay()
    assert shop.call("POST", "/deliver", {"backwards": True})["released"] == 2
    until(lambda: inbox.types[2:] == ["intent.succeeded", "intent.created"], "backwards")
    shop.call("POST", "/control", {"delivery": "never"})
    shop.intent()
    event = shop.call("GET", "/events")["data"][-1]
    shop.call("POST", "/send_again", {"event": event["id"]})
    until(lambda: len(inbox.received) == 5, "only when sent again")


# signatures


def test_a_signature_of_the_right_secret_and_time_is_believed_and_nothing_else() -> None:
    body, now = b'{"id": "evt"}', 1_700_000_000
    good = sign("whsec", body, now)
    for age in (-300, 0, 300):
        verify(good, body, ["other", "whsec"], now + age)
    verify(f"{good},v1=deadbeef", body, ["whsec"], now)
    bad: list[tuple[str | None, bytes, list[str], int, str]] = [
        (None, body, ["whsec"], now, "signature_missing"),
        ("", body, ["whsec"], now, "signature_missing"),
        (good, body + b" ", ["whsec"], now, "signature_invalid"),
        (good, body, ["wrong"], now, "signature_invalid"),
        (good, body, [], now, "signature_invalid"),
        (good, body, [""], now, "signature_invalid"),
        (sign("", body, now), body, [""], now, "signature_invalid"),
        (good, body, ["whsec"], now + 301, "timestamp_out_of_range"),
        (good, body, ["whsec"], now - 301, "timestamp_out_of_range"),
        (good.replace(f"t={now}", f"t={now + 1}"), body, ["whsec"], now, "signature_invalid"),
        (f"t={now},{good}", body, ["whsec"], now, "signature_invalid"),
        (f"t={now}", body, ["whsec"], now, "signature_invalid"),
        ("t=١,v1=x", body, ["whsec"], now, "signature_invalid"),
    ]
    for header, content, secrets, at, reason in bad:
        with pytest.raises(WebhookRefusedError) as refused:
            verify(header, content, secrets, at)
        assert refused.value.reason == reason, header


def test_no_mutated_character_of_a_signed_event_is_believed() -> None:
    body, now = b'{"id":"evt_1","amount":100}', 1_700_000_000
    good = sign("whsec", body, now)
    for place in range(len(body)):
        for other in (0, body[place] ^ 1, 255):
            mutant = body[:place] + bytes([other]) + body[place + 1 :]
            with pytest.raises(WebhookRefusedError):
                verify(good, mutant, ["whsec"], now)
    for place in range(len(good)):
        mutated = good[:place] + ("0" if good[place] != "0" else "1") + good[place + 1 :]
        with pytest.raises(WebhookRefusedError):
            verify(mutated, body, ["whsec"], now)


# the client


async def test_the_client_tells_a_refusal_from_an_unknown_outcome_and_from_nobody_there(
    sandbox: Sandbox, shop: Shop
) -> None:
    async with httpx.AsyncClient() as http:
        gateway = SandboxGateway(sandbox.url, shop.account["api_key"], http)
        intent = await gateway.create_intent(amount_cents=500, currency="ILS", reference="ours", key="k1")
        assert (intent.status, intent.reference, intent.version) == ("requires_payment_method", "ours", 1)
        assert intent.client_secret is not None
        with pytest.raises(OutcomeUnknownError):
            await gateway.confirm(intent.provider_intent_id, card_token="tok_timeout", method_id=None, key="k2")
        found = await gateway.look_up_intent(intent.provider_intent_id)
        assert (found.status, found.amount_received_cents) == ("succeeded", 500)
        assert found.charge_id is not None
        with pytest.raises(GatewayRefusedError) as refused:
            await gateway.refund(charge_id=found.charge_id, amount_cents=501, reference="r1", key="k3")
        assert refused.value.reason == "refund_exceeds_charge"
        refund = await gateway.refund(charge_id=found.charge_id, amount_cents=200, reference="r2", key="k4")
        assert await gateway.find_refund("r2") == refund
        assert await gateway.find_refund("r3") is None
        saved = await gateway.save_method(card_token="tok_approve", reference="me", key="k5")
        assert (saved.last4, saved.brand) == ("4242", "visa")
        away = SandboxGateway("http://127.0.0.1:9", "x", http)
        with pytest.raises(RetryableError) as unreachable:
            await away.cancel("pi", key="k6")
        assert not isinstance(unreachable.value, OutcomeUnknownError)


async def test_a_call_that_gets_no_answer_in_time_has_an_unknown_outcome() -> None:
    def slow(_: httpx.Request) -> httpx.Response:
        raise httpx.ReadTimeout("too slow")

    async with httpx.AsyncClient(transport=httpx.MockTransport(slow)) as http:
        gateway = SandboxGateway("http://sandbox.test", "x", http)
        with pytest.raises(OutcomeUnknownError):
            await gateway.cancel("pi", key="k")
        with pytest.raises(RetryableError) as looking:
            await gateway.look_up_intent("pi")
        assert not isinstance(looking.value, OutcomeUnknownError)
