"""Webhooks on a bad day: bursts, giants, strangers, other accounts; and secrets are neither kept nor logged."""

from __future__ import annotations

import json
import time
from concurrent.futures import ThreadPoolExecutor
from typing import Any
from urllib.parse import urlencode
from uuid import uuid4

import httpx
import pytest

from loom.features.billing.api.webhooks import NOTICES_A_MINUTE
from loom.providers.payments import PROOF, proof_of, vault_of
from loom.providers.payments.signatures import SIGNATURE_HEADER, sign
from tests.features.billing.live import Live
from tests.features.billing.shop import Shop, TranzilaShop
from tests.features.billing.test_webhooks_http import forged, known_path
from tests.features.billing.world import World, one
from tests.providers import tranzila_recorded as recorded
from tests.support.secret_search import Trail
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


def test_of_a_refund_that_the_gateway_does_not_know_nothing_follows(shop: Shop) -> None:
    event = json.loads(forged("re_unknown", object="refund", charge="ch_none")) | {"type": "refund.updated"}
    body = json.dumps(event).encode()
    assert post(shop, known_path(shop), body, sign(shop.secret, body, int(time.time())))[0] == 200
    until(lambda: shop.handled() == ["handled"], "the event is handled")
    query = "select outcome as v from public.webhook_events where gateway_account_id = %s"
    assert one(shop.world.owner, query, shop.account["id"]) == "unknown_there"


@pytest.mark.parametrize("field", ["api_key", "app_key", "webhook_secret"])
def test_keys_that_fit_in_no_header_are_refused_as_they_are_given(shop: Shop, field: str) -> None:
    given = {"provider": "stripe", "api_key": "sk_test_good", field: "sk_test_\u00e9"}
    said = shop.live.call(shop.coach, "POST", "/gateway-accounts", given)
    assert (said["http_status"], said["code"]) == (422, "invalid_request")
    assert said["errors"][0]["location"] == f"body.{field}"
    assert "\u00e9" not in json.dumps(said, ensure_ascii=False)


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


@pytest.mark.parametrize("odd", ["\0", float("nan")], ids=["NUL", "NaN"])
def test_a_signed_event_that_can_not_be_kept_is_refused_and_told_of_in_the_log(
    shop: Shop, odd: object, capsys: pytest.CaptureFixture[str]
) -> None:
    body = forged("pi_x", description=odd)
    said = post(shop, known_path(shop), body, sign(shop.secret, body, int(time.time())))
    assert said[0] == 422
    assert shop.handled() == []
    told = capsys.readouterr().out
    assert "event not kept" in told
    assert json.loads(body)["id"] in told


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
    invoice = shop.invoice()
    intent = shop.intent(invoice)["id"]
    shop.at_gateway("POST", "/sandbox/knobs", {"delivery": "never", "states": {"payment_intent": "on_the_moon"}})
    for _ in range(2):
        seen = shop.live.call(shop.client, "POST", f"/payment-intents/{intent}/check")
        assert seen["status"] == "requires_payment_method"
    assert shop.open_alerts() == ["unknown_state"]
    shop.at_gateway("POST", "/sandbox/knobs", {"delivery": "never"})
    shop.live.call(shop.client, "POST", f"/payment-intents/{intent}/check")
    assert shop.confirm(intent)["status"] == "succeeded"
    assert shop.open_alerts() == []


def test_a_charge_answered_with_a_state_that_nobody_knows_is_no_refusal(shop: Shop) -> None:
    shop.at_gateway("POST", "/sandbox/knobs", {"delivery": "never"})
    invoice = shop.invoice()
    intent = shop.intent(invoice)["id"]
    shop.at_gateway("POST", "/sandbox/knobs", {"delivery": "never", "states": {"payment_intent": "on_the_moon"}})
    assert shop.confirm(intent)["status"] == "processing"
    assert shop.open_alerts() == ["unknown_state"]
    # The money moved all the same: whoever tried again now would pay twice.
    assert shop.confirm(intent)["code"] == "payment_in_progress"
    shop.at_gateway("POST", "/sandbox/knobs", {"delivery": "never"})
    assert shop.live.call(shop.client, "POST", f"/payment-intents/{intent}/check")["status"] == "succeeded"
    assert shop.open_alerts() == []
    assert [payment["status"] for payment in shop.payments(invoice)] == ["paid"]


def test_a_refund_in_a_state_that_nobody_knows_waits_and_is_reported(shop: Shop) -> None:
    _, payment = shop.paid()
    shop.at_gateway("POST", "/sandbox/knobs", {"delivery": "never", "states": {"refund": "on_the_moon"}})
    refund = shop.live.call(shop.coach, "POST", f"/payments/{payment['id']}/refunds", {"amount_cents": 100})
    assert refund["status"] == "processing"
    assert shop.open_alerts() == ["unknown_state"]
    # An event of it is kept with its reason, for people who look.
    body = forged(f"re_{uuid4().hex}", object="refund", charge="ch_x", status="succeeded")
    event = json.loads(body) | {"type": "refund.updated"}
    name = shop.at_gateway("GET", "/v1/refunds?limit=1")["data"][0]["id"]
    event["data"]["object"]["id"] = name
    body = json.dumps(event).encode()
    assert post(shop, known_path(shop), body, sign(shop.secret, body, int(time.time())))[0] == 200
    until(lambda: "failed" in shop.handled(), "the event is put aside")
    problem = "select error_message as v from public.webhook_events where gateway_account_id = %s and status = 'failed'"
    assert "on_the_moon" in one(shop.world.owner, problem, shop.account["id"])
    shop.at_gateway("POST", "/sandbox/knobs", {})
    shop.world.owner.execute("update public.payment_refunds set next_check_at = now() where id = %s", [refund["id"]])
    shop.world.owner.execute("select private.enqueue('billing.repair_unknown', '{\"timestamp\": 0}')")
    query = "select status::text as v from public.payment_refunds where id = %s"
    until(lambda: one(shop.world.owner, query, refund["id"]) == "succeeded", "the refund is understood")
    assert shop.open_alerts() == []


# Tranzila from the page to the paid invoice


@pytest.fixture
def till(live: Live, world: World) -> TranzilaShop:
    return TranzilaShop(live, world)


@pytest.mark.parametrize("knobs", [{}, {"notify": "twice"}, {"notify_sum": "1"}, {"notify_currency": "ILS"}])
def test_a_notice_makes_loom_look_and_what_it_says_does_not_matter(till: TranzilaShop, knobs: dict[str, Any]) -> None:
    till.knobs(**knobs)
    invoice = till.invoice()
    page = till.page(invoice)
    assert httpx.post(page["url"], data={"number": "4242424242424242"}).status_code == 303
    till.until_paid(invoice)
    assert [(payment["status"], payment["amount_cents"]) for payment in till.payments(invoice)] == [("paid", 25000)]
    payment = till.payments(invoice)[0]
    refund = till.live.call(till.coach, "POST", f"/payments/{payment['id']}/refunds", {"amount_cents": 5000})
    assert refund["status"] == "succeeded"


def test_a_notice_that_never_comes_is_made_up_for_by_the_way_back(till: TranzilaShop) -> None:
    till.knobs(notify="never")
    invoice = till.invoice()
    page = till.page(invoice)
    httpx.post(page["url"], data={"number": "4242424242424242"})
    assert till.live.call(till.client, "POST", f"/payment-intents/{page['intent_id']}/check")["status"] == "succeeded"


def test_a_forged_notice_pays_nothing_and_one_from_nowhere_is_refused(till: TranzilaShop) -> None:
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


def test_of_one_order_few_notices_are_taken_and_those_of_others_are_not_kept_waiting(
    till: TranzilaShop, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(till.live.settings, "rate_limits", True)
    # Windows begin with the clock's minutes: more than two of them hold are sent.
    many = 2 * NOTICES_A_MINUTE + 1
    secrets = till.world.row("select * from private.gateway_secrets where account_id = %s", till.account["id"])
    opened = vault_of(till.live.settings).open
    address = f"{till.live.url}/v1/webhooks/tranzila/{opened(secrets['webhook_token'])}"

    def notice(order: str, number: int) -> int:
        good = {PROOF: proof_of(order, opened(secrets["webhook_secret"]))}
        return httpx.post(address, data={"Response": "000", "n": str(number)}, params=good).status_code

    first, second = str(uuid4()), str(uuid4())
    answers = [notice(first, number) for number in range(many)]
    assert set(answers) == {200, 429}
    assert len(till.handled()) == answers.count(200) <= 2 * NOTICES_A_MINUTE
    assert notice(second, 0) == 200


# nothing that opens anything lies about


def test_secrets_and_card_numbers_are_nowhere_in_the_database(shop: Shop, database_url: str) -> None:
    """The richest traffic there is; that of every other test is searched when its module is over."""
    _, payment = shop.paid()
    shop.live.call(shop.coach, "POST", f"/payments/{payment['id']}/refunds", {"amount_cents": 100})
    till = TranzilaShop(shop.live, shop.world)
    other = till.invoice()
    page = till.page(other)
    httpx.post(page["url"], data={"number": "5555555555554444", "expiry": "12/34", "cvc": "987"})
    till.until_paid(other)
    body = forged("pi_x", client_secret="pi_x_secret_that_was_sent_in_an_event")
    post(shop, known_path(shop), body, sign(shop.secret, body, int(time.time())))
    until(lambda: "handled" in shop.handled(), "events are handled")
    trail = Trail()
    trail.sealed = {shop.key, shop.secret, "secret-app"}
    trail.search_database(database_url, "the database")
    assert trail.leaks == []
    assert trail.searched["rows"] > 50
