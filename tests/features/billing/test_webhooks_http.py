"""Webhooks: what is believed, and what is not."""

from __future__ import annotations

import hashlib
import json
import time
from typing import Any
from uuid import uuid4

import httpx

from loom.providers.payments.signatures import SIGNATURE_HEADER, sign
from tests.features.billing.shop import Shop
from tests.features.billing.world import World, one, person
from tests.support.waiting import until


def webhook(shop: Shop, body: bytes, signature: str | None, path: str | None = None) -> dict[str, Any]:
    headers = {"content-type": "application/json"} | ({SIGNATURE_HEADER: signature} if signature is not None else {})
    answer = httpx.post(f"{shop.live.url}{path or known_path(shop)}", content=body, headers=headers)
    return answer.json() | {"http_status": answer.status_code}


def known_path(shop: Shop) -> str:
    """An address whose token the test knows."""

    token = f"token-{shop.account['id']}"
    shop.world.owner.execute(
        "update public.gateway_accounts set webhook_token_hash = %s where id = %s",
        [hashlib.sha256(token.encode()).hexdigest(), shop.account["id"]],
    )
    return f"/v1/webhooks/sandbox/{token}"


def forged(intent: str = "pi_x", **more: Any) -> bytes:
    data = {
        "id": intent, "object": "payment_intent", "status": "succeeded", "currency": "ils", "amount": 25000,
        "amount_received": 25000, "latest_charge": "ch_forged",
    } | more  # fmt: skip
    event = {"id": f"evt_{uuid4()}", "type": "payment_intent.succeeded", "created": 1, "data": {"object": data}}
    return json.dumps(event).encode()


def test_unsigned_forged_and_replayed_webhooks_are_refused_and_change_nothing(shop: Shop) -> None:
    invoice = shop.invoice()
    intent = shop.intent(invoice)["id"]
    name = one(shop.world.owner, "select provider_intent_id as v from public.payment_intents where id = %s", intent)
    until(lambda: shop.handled() == ["handled"], "the first event is handled")
    body, now = forged(name), int(time.time())
    for signature, code in (
        (None, "signature_missing"),
        (sign("wrong", body, now), "signature_invalid"),
        (sign(shop.secret, body + b" ", now), "signature_invalid"),
        (sign(shop.secret, body, now - 301), "timestamp_out_of_range"),
        (sign(shop.secret, body, now + 310), "timestamp_out_of_range"),
    ):
        said = webhook(shop, body, signature)
        assert (said["http_status"], said["code"]) == (400, code)
    said = webhook(shop, b"[1]", sign(shop.secret, b"[1]", now))
    assert (said["http_status"], said["code"]) == (400, "malformed")
    assert shop.handled() == ["handled"]
    assert shop.live.call(shop.client, "GET", f"/invoices/{invoice}")["status"] == "pending"
    # Signed well it is taken, and still a lie pays nothing: the gateway itself is asked.
    assert webhook(shop, body, sign(shop.secret, body, now))["received"] is True
    until(lambda: shop.handled() == ["handled"] * 2, "the event is handled")
    assert shop.live.call(shop.client, "GET", f"/invoices/{invoice}")["status"] == "pending"
    # The control: what really happened is booked, whatever the event says of it.
    shop.at_gateway("POST", f"/v1/payment_intents/{name}/confirm", {"payment_method": "pm_card_visa"})
    body = forged(name, status="whatever", amount_received=1)
    assert webhook(shop, body, sign(shop.secret, body, now))["received"] is True
    shop.until_paid(invoice)


def test_an_address_that_is_nobodys_or_has_no_secret_does_not_exist(shop: Shop) -> None:
    body, now = forged(), int(time.time())
    signature = sign(shop.secret, body, now)
    path = known_path(shop)
    assert webhook(shop, body, signature, "/v1/webhooks/sandbox/nobody")["http_status"] == 404
    assert webhook(shop, body, signature, path.replace("sandbox", "stripe"))["http_status"] == 404
    assert webhook(shop, body, signature, path.replace("sandbox", "unheard-of"))["http_status"] == 404
    shop.world.owner.execute(
        "update private.gateway_secrets set webhook_secret = null where account_id = %s", [shop.account["id"]]
    )
    assert webhook(shop, body, sign("", body, now), path)["http_status"] == 404


def test_an_event_of_another_practices_account_cannot_pay_this_ones_invoice(shop: Shop) -> None:
    invoice = shop.invoice()
    intent = shop.intent(invoice)["id"]
    name = one(shop.world.owner, "select provider_intent_id as v from public.payment_intents where id = %s", intent)
    other = Shop(shop.live, World.make(shop.world.owner, shop.world.as_user, shop.world.as_role))
    paid = {"payment_method": "pm_card_visa"}
    shop.at_gateway("POST", "/sandbox/knobs", {"delivery": "never"})
    assert shop.at_gateway("POST", f"/v1/payment_intents/{name}/confirm", paid)["status"] == "succeeded"
    body = forged(name)
    assert webhook(other, body, sign(other.secret, body, int(time.time())))["received"] is True
    until(lambda: "handled" in other.handled(), "the event is handled")
    assert shop.live.call(shop.client, "GET", f"/invoices/{invoice}")["status"] == "pending"


def test_an_admin_has_an_event_handled_once_more_and_nothing_is_booked_twice(shop: Shop) -> None:
    admin = person(shop.world.owner, "admin")
    invoice, _ = shop.paid()
    until(lambda: shop.handled() and set(shop.handled()) == {"handled"}, "the events are handled")
    # One that failed before its cause was mended.
    event = one(
        shop.world.owner,
        "update public.webhook_events set status = 'failed', outcome = null, handled_at = null where id ="
        " (select id from public.webhook_events where gateway_account_id = %s order by received_at limit 1)"
        " returning id as v", shop.account["id"],
    )  # fmt: skip
    path = f"/webhook-events/{event}"
    failed = f"/webhook-events?status=failed&gateway_account_id={shop.account['id']}"
    for user in (shop.coach, shop.client):
        assert shop.live.call(user, "GET", failed)["items"] == []
        for method, at in (("GET", path), ("POST", f"{path}/replay")):
            refused, nowhere = (
                shop.live.call(user, method, where) for where in (at, at.replace(str(event), str(uuid4())))
            )
            assert (refused["http_status"], refused["code"]) == (nowhere["http_status"], nowhere["code"])
            assert refused["code"] == "not_found"
    [found] = shop.live.call(admin, "GET", failed)["items"]
    assert (found["id"], found["replayed_at"], "payload" in found) == (str(event), None, False)
    assert shop.live.call(admin, "POST", f"/webhook-events/{uuid4()}/replay")["code"] == "not_found"
    opened = shop.live.call(admin, "POST", f"{path}/replay")
    assert (opened["http_status"], opened["replayed_by"]) == (202, str(admin))
    until(lambda: shop.live.call(admin, "GET", path)["status"] == "handled", "it is handled once more")
    assert [payment["status"] for payment in shop.payments(invoice)] == ["paid"]
