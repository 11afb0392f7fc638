"""Webhooks on a bad day: bursts, giants, strangers, other accounts; and secrets are neither kept nor logged."""

from __future__ import annotations

import json
import re
import time
from concurrent.futures import ThreadPoolExecutor
from typing import Any
from urllib.parse import urlencode
from uuid import uuid4

import httpx
import pytest

from loom.providers.payments import PROOF, proof_of, vault_of
from loom.providers.payments.signatures import SIGNATURE_HEADER, sign
from tests.features.billing.live import Live
from tests.features.billing.shop import Shop
from tests.features.billing.test_webhooks_http import forged, known_path
from tests.features.billing.world import World, one
from tests.providers import tranzila_recorded as recorded
from tests.support.waiting import until


def post(shop: Shop, path: str, body: bytes, signature: str) -> tuple[int, str]:
    headers = {"content-type": "application/json", SIGNATURE_HEADER: signature}
    answer = httpx.post(f"{shop.live.url}{path}", content=body, headers=headers, timeout=30)
    return answer.status_code, answer.json().get("code", "")


def test_a_burst_with_repetitions_loses_and_doubles_nothing(shop: Shop, campaign: bool) -> None:
    path, count = known_path(shop), 500 if campaign else 100
    bodies = [forged(f"pi_{number}") for number in range(count * 4 // 5)]
    sent = bodies + bodies[: count // 5]

    def send(body: bytes) -> float:
        started = time.perf_counter()
        assert post(shop, path, body, sign(shop.secret, body, int(time.time())))[0] == 200
        return time.perf_counter() - started

    with ThreadPoolExecutor(8) as pool:
        took = sorted(pool.map(send, sent))
    # Figures are for people; what is asserted is that nothing is lost.
    print(f"acknowledged: p50 {took[len(took) // 2] * 1000:.0f} ms, p99 {took[len(took) * 99 // 100] * 1000:.0f} ms")
    until(lambda: shop.handled() == ["handled"] * len(bodies), "each event is handled", seconds=60)
    query = "select sum(times_received) as v from public.webhook_events where gateway_account_id = %s"
    assert one(shop.world.owner, query, shop.account["id"]) == count


def test_of_an_unknown_object_nothing_follows(shop: Shop) -> None:
    body = forged("pi_nobody", metadata={"reference": str(uuid4())})
    assert post(shop, known_path(shop), body, sign(shop.secret, body, int(time.time())))[0] == 200
    until(lambda: shop.handled() == ["handled"], "the event is handled")
    query = "select outcome as v from public.webhook_events where gateway_account_id = %s"
    assert one(shop.world.owner, query, shop.account["id"]) == "unknown_intent"


@pytest.mark.parametrize(
    ("body", "status"),
    [
        (b"x" * 5_000_000, 413),
        (b"", 400),
        (b"null", 400),
        (b"{", 400),
        (b"[" * 100_000, 400),
        (b"{}", 400),
        (b"\xff\xfe", 400),
    ],
    ids=["5 MB", "empty", "null", "half", "deep", "bare", "no text"],
)
def test_what_is_no_event_is_refused_and_kept_nowhere(shop: Shop, body: bytes, status: int) -> None:
    said, _ = post(shop, known_path(shop), body, sign(shop.secret, body, int(time.time())))
    assert said == status
    assert shop.handled() == []


def test_a_sum_that_differs_is_an_alert_and_no_payment(shop: Shop) -> None:
    invoice = shop.invoice()
    intent = shop.intent(invoice)["id"]
    # Somebody changed the sum at the gateway: what is paid there is not what was asked for here.
    name = one(shop.world.owner, "select provider_intent_id as v from public.payment_intents where id = %s", intent)
    shop.at_gateway("POST", f"/v1/payment_intents/{name}", {"amount": 100})
    shop.at_gateway("POST", f"/v1/payment_intents/{name}/confirm", {"payment_method": "pm_card_visa"})
    for _ in range(3):
        shop.live.call(shop.client, "POST", f"/payment-intents/{intent}/check")
    assert shop.live.call(shop.client, "GET", f"/invoices/{invoice}")["status"] == "pending"
    alerts = shop.live.call(shop.coach, "GET", "/gateway-alerts?open=true")["items"]
    assert [(alert["kind"], alert["subject_id"]) for alert in alerts] == [("does_not_fit", intent)]


def test_a_state_that_nobody_knows_changes_nothing_and_is_reported(shop: Shop) -> None:
    shop.at_gateway("POST", "/sandbox/knobs", {"delivery": "never"})
    invoice = shop.invoice()
    intent = shop.intent(invoice)["id"]
    shop.world.owner.execute(
        "select public.record_intent_unknown(%s, 'The gateway calls the state ''x''.', 'unknown_state')", [intent]
    )
    assert shop.live.call(shop.client, "GET", f"/payment-intents/{intent}")["status"] == "requires_payment_method"
    alerts = shop.live.call(shop.coach, "GET", "/gateway-alerts?open=true")["items"]
    assert [alert["kind"] for alert in alerts] == ["unknown_state"]
    assert shop.confirm(intent)["status"] == "succeeded"
    assert shop.live.call(shop.coach, "GET", "/gateway-alerts?open=true")["items"] == []


# Tranzila from the page to the paid invoice


class Till(Shop):
    """A coach with a terminal at the sandbox's Tranzila."""

    def __init__(self, live: Live, world: World) -> None:
        super().__init__(live, world)
        world.owner.execute("update public.gateway_accounts set disabled_at = now(), is_default = false")
        self.terminal = f"t{uuid4().hex[:12]}"
        fields = {"provider": "tranzila", "terminal": self.terminal, "app_key": "app", "api_key": "secret-app"}
        self.account = live.call(self.coach, "POST", "/gateway-accounts", fields)
        assert self.account["http_status"] == 201, self.account

    def knobs(self, **knobs: Any) -> None:
        self.live.sandbox.call("POST", "/sandbox/knobs", knobs, f"sk_test_tranzila_{self.terminal}")

    def page(self, invoice: str) -> dict[str, Any]:
        ways = {"success_url": f"{self.live.url}/paid", "cancel_url": f"{self.live.url}/back", "locale": "he"}
        return self.live.call(self.client, "POST", f"/invoices/{invoice}/payment-page", ways)


@pytest.fixture
def till(live: Live, world: World) -> Till:
    return Till(live, world)


@pytest.mark.parametrize("knobs", [{}, {"notify": "twice"}, {"notify_sum": "1"}, {"notify_currency": "ILS"}])
def test_a_notice_makes_loom_look_and_what_it_says_does_not_matter(till: Till, knobs: dict[str, Any]) -> None:
    till.knobs(**knobs)
    invoice = till.invoice()
    page = till.page(invoice)
    assert httpx.post(page["url"], data={"number": "4242424242424242"}).status_code == 303
    till.until_paid(invoice)
    assert [(payment["status"], payment["amount_cents"]) for payment in till.payments(invoice)] == [("paid", 25000)]
    payment = till.payments(invoice)[0]
    refund = till.live.call(till.coach, "POST", f"/payments/{payment['id']}/refunds", {"amount_cents": 5000})
    assert refund["status"] == "succeeded"


def test_a_notice_that_never_comes_is_made_up_for_by_the_way_back(till: Till) -> None:
    till.knobs(notify="never")
    invoice = till.invoice()
    page = till.page(invoice)
    httpx.post(page["url"], data={"number": "4242424242424242"})
    assert till.live.call(till.client, "POST", f"/payment-intents/{page['intent_id']}/check")["status"] == "succeeded"


def test_a_forged_notice_pays_nothing_and_one_from_nowhere_is_refused(till: Till) -> None:
    invoice = till.invoice()
    intent = till.page(invoice)["intent_id"]
    secrets = till.world.row("select * from private.gateway_secrets where account_id = %s", till.account["id"])
    opened = vault_of(till.live.settings).open
    address = f"{till.live.url}/v1/webhooks/tranzila/{opened(secrets['webhook_token'])}"
    body = urlencode(recorded.CARD_NOTICE | {"sum": "250.00"})
    form = {"content-type": "application/x-www-form-urlencoded"}
    assert httpx.post(address, content=body, headers=form).json()["code"] == "signature_missing"
    wrong = {PROOF: proof_of(intent, "another secret")}
    assert httpx.post(address, content=body, headers=form, params=wrong).json()["code"] == "signature_invalid"
    good = {PROOF: proof_of(intent, opened(secrets["webhook_secret"]))}
    assert httpx.post(address, content=body, headers=form, params=good).json()["received"] is True
    assert httpx.post(address, content="<html>", headers=form, params=good).status_code in (200, 400)
    until(lambda: "handled" in till.handled(), "the notice is handled")
    assert till.live.call(till.client, "GET", f"/invoices/{invoice}")["status"] == "pending"


# nothing that opens anything lies about


def test_secrets_and_card_numbers_are_nowhere_in_the_database_or_the_log(
    shop: Shop, capfd: pytest.CaptureFixture[str]
) -> None:
    _, payment = shop.paid()
    shop.live.call(shop.coach, "POST", f"/payments/{payment['id']}/refunds", {"amount_cents": 100})
    till = Till(shop.live, shop.world)
    other = till.invoice()
    page = till.page(other)
    httpx.post(page["url"], data={"number": "5555555555554444", "expiry": "12/34", "cvc": "987"})
    till.until_paid(other)
    body = forged("pi_x", client_secret="pi_x_secret_leaked")
    post(shop, known_path(shop), body, sign(shop.secret, body, int(time.time())))
    until(lambda: "handled" in shop.handled(), "events are handled")
    tables = shop.world.owner.execute(
        "select format('%I.%I', schemaname, tablename) as name from pg_tables"
        " where schemaname in ('public', 'private', 'jobs', 'auth')"
    ).fetchall()
    everything = {
        row["name"]: json.dumps(one(shop.world.owner, f"select jsonb_agg(to_jsonb(t))::text as v from {row['name']} t"))
        for row in tables
    }
    everything["log"] = "".join(capfd.readouterr())
    leaks = re.compile(
        "|".join(map(re.escape, [shop.key, shop.secret, "secret-app", "5555555555554444", "pi_x_secret_leaked"]))
    )
    found = {name for name, text in everything.items() if leaks.search(text)}
    assert found == set()
    # The control: the search does see what lies in the open.
    assert leaks.search(json.dumps({"key": shop.key}))
    assert any(shop.account["id"] in text for text in everything.values())
