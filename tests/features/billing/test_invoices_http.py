"""Invoices and manual payments over HTTP, and who finds what."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any
from uuid import uuid4

import pytest

from tests.features.billing.shop import Shop
from tests.features.billing.world import person, relate


@pytest.mark.parametrize(
    ("line", "status", "code"),
    [
        ({"description": "x", "amount_cents": -1}, 422, "invalid_request"),
        ({"description": "x", "amount_cents": 1.5}, 422, "invalid_request"),
        ({"description": "x", "amount_cents": 2**31}, 422, "invalid_request"),
        ({"description": "x", "amount_cents": 2**31 - 1, "quantity": 2}, 422, "amount_out_of_range"),
        ({"description": "x"}, 422, "invalid_line"),
        ({"description": "x", "amount_cents": 1, "colour": 1}, 422, "invalid_request"),
        ({"description": "\x00", "amount_cents": 1}, 422, "invalid_request"),
        ({"attendee_id": str(uuid4())}, 404, "not_found"),
    ],
)
def test_a_bad_line_is_refused_with_a_code(shop: Shop, line: dict[str, Any], status: int, code: str) -> None:
    said = shop.live.call(shop.coach, "POST", "/invoices", {"client_id": str(shop.client), "lines": [line]})
    assert (said["http_status"], said["code"]) == (status, code)
    assert shop.live.call(shop.coach, "GET", "/invoices")["items"] == []


def test_somebody_elses_money_is_not_found_over_http(shop: Shop) -> None:
    invoice, payment = shop.paid()
    refund = shop.live.call(shop.coach, "POST", f"/payments/{payment['id']}/refunds", {"amount_cents": 1})
    strangers = [person(shop.world.owner, "client"), person(shop.world.owner, "coach")]
    relate(shop.world.owner, strangers[1], shop.client)
    for stranger in strangers:
        for path in (
            f"/invoices/{invoice}", f"/payments/{payment['id']}", f"/payment-intents/{payment['intent_id']}",
            f"/refunds/{refund['id']}", f"/gateway-accounts/{shop.account['id']}",
        ):  # fmt: skip
            assert shop.live.call(stranger, "GET", path)["code"] == "not_found", path
        for path in ("/invoices", "/payments", "/payment-intents", "/refunds", "/gateway-accounts", "/payment-methods"):
            assert shop.live.call(stranger, "GET", path)["items"] == [], path
            assert shop.live.call(None, "GET", path)["code"] == "not_authenticated", path


def test_lists_continue_where_they_ended(shop: Shop) -> None:
    made = [shop.invoice(100) for _ in range(3)]
    first = shop.live.call(shop.client, "GET", "/invoices?limit=2")
    second = shop.live.call(shop.client, "GET", f"/invoices?limit=2&cursor={first['next_cursor']}")
    assert [item["id"] for item in first["items"] + second["items"]] == list(reversed(made))
    assert second["next_cursor"] is None


def test_manual_payments_void_and_write_off_over_http(shop: Shop) -> None:
    invoice = shop.invoice(700)
    body = {"invoice_id": invoice, "amount_cents": 300, "method": "bank_transfer"}
    assert shop.live.call(shop.coach, "POST", "/payments", body)["code"] == "reference_needed"
    paid = shop.live.call(shop.coach, "POST", "/payments", body | {"reference": "T-1"})
    assert (paid["http_status"], paid["status"], paid["method_type"]) == (201, "paid", "bank_transfer")
    assert shop.live.call(shop.client, "GET", f"/invoices/{invoice}")["display_status"] == "partially_paid"
    assert shop.live.call(shop.coach, "POST", f"/invoices/{invoice}/void", {})["code"] == "invoice_paid"
    gone = shop.live.call(shop.coach, "POST", f"/invoices/{invoice}/write-off", {"reason": "kindness"})
    assert gone["display_status"] == "written_off"
    assert [(why["kind"], why["reason"], why["made_by"]) for why in gone["reasons"]] == [
        ("written_off", "kindness", str(shop.coach))
    ]
    shop.live.call(shop.coach, "POST", f"/invoices/{invoice}/restore")
    shop.live.call(shop.coach, "POST", f"/invoices/{invoice}/write-off", {"reason": "moved away"})
    seen = [shop.live.call(who, "GET", f"/invoices/{invoice}")["reasons"] for who in (shop.coach, shop.client)]
    assert [[why["reason"] for why in reasons] for reasons in seen] == [["kindness", "moved away"], []]
    other = shop.invoice(700)
    assert shop.live.call(shop.coach, "POST", f"/invoices/{other}/void", {})["display_status"] == "void"
    draft = {"client_id": str(shop.client), "due_date": datetime.now(UTC).isoformat()}
    empty = shop.live.call(shop.coach, "POST", "/invoices", draft)
    assert shop.live.call(shop.coach, "POST", f"/invoices/{empty['id']}/finalize")["code"] == "invoice_without_lines"
    changed = shop.live.call(shop.coach, "PATCH", f"/invoices/{empty['id']}", {"notes": "soon", "tax_rate_bp": 1800})
    assert (changed["notes"], changed["tax_rate_bp"]) == ("soon", 1800)
    for odd in ("not a mail", "nomail", "a@b"):
        refused = shop.live.call(shop.coach, "PATCH", f"/invoices/{empty['id']}", {"buyer_email": odd})
        assert (refused["http_status"], refused["code"]) == (422, "email_invalid")
    for odd in (True, "100", 1.5):
        line = {"description": "x", "amount_cents": odd}
        assert shop.live.call(shop.coach, "POST", f"/invoices/{empty['id']}/lines", line)["http_status"] == 422
        odd_payment = body | {"reference": "T-2", "amount_cents": odd}
        assert shop.live.call(shop.coach, "POST", "/payments", odd_payment)["http_status"] == 422
    lined = shop.live.call(
        shop.coach, "POST", f"/invoices/{empty['id']}/lines", {"description": "x", "amount_cents": 100}
    )
    assert lined["total_amount_cents"] == 118
    line = lined["lines"][0]["id"]
    assert shop.live.call(shop.coach, "DELETE", f"/invoices/{empty['id']}/lines/{line}")["total_amount_cents"] == 0
    assert shop.live.call(shop.coach, "DELETE", f"/invoices/{empty['id']}/lines/{line}")["code"] == "not_found"
    assert shop.live.call(shop.coach, "DELETE", f"/invoices/{empty['id']}")["http_status"] == 204
