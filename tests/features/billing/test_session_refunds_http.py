"""A cancelled group gives each of its people back what that person paid beyond what is owed."""

from __future__ import annotations

from typing import Any
from uuid import UUID

import pytest

from tests.features.billing.shop import Shop
from tests.features.billing.world import person, relate
from tests.support.scheduling import add_template, at


def test_each_person_of_a_cancelled_group_gets_back_what_is_not_owed_once(shop: Shop) -> None:
    world = shop.world
    second = person(world.owner, "client")
    relate(world.owner, shop.coach, second)
    seats = world.group(shop.client, second, price=10000)
    invoices: list[Any] = []
    for client, seat in zip((shop.client, second), seats, strict=True):
        draft = {"client_id": str(client), "lines": [{"attendee_id": str(seat)}]}
        invoice = shop.live.call(shop.coach, "POST", "/invoices", draft)["id"]
        shop.live.call(shop.coach, "POST", f"/invoices/{invoice}/finalize")
        intent = shop.live.call(client, "POST", f"/invoices/{invoice}/payment-intents")["id"]
        confirm = {"card_token": "pm_card_visa"}
        paid = shop.live.call(client, "POST", f"/payment-intents/{intent}/confirm", confirm)
        assert paid["status"] == "succeeded"
        invoices.append(invoice)
    session = world.row("select session_id from public.session_attendees where id = %s", seats[0])["session_id"]
    path = f"/sessions/{session}/refunds"
    assert shop.live.call(shop.coach, "POST", path)["refunds"] == []
    # What each owes by the terms of the seat: the first nothing, the second a fee.
    for seat, owed in zip(seats, (0, 4000), strict=True):
        world.owner.execute(
            "insert into public.seat_outcomes"
            " (session_id, attendee_id, coach_id, kind, by_coach, amount_cents, currency)"
            " values (%s, %s, %s, 'cancelled', false, %s, 'ILS')", [session, seat, shop.coach, owed],
        )  # fmt: skip
    assert shop.live.call(shop.client, "POST", path)["code"] == "not_found"
    assert len(shop.live.call(shop.coach, "POST", path)["refunds"]) == 2
    assert shop.live.call(shop.coach, "POST", path)["refunds"] == []
    back = world.owner.execute(
        "select p.invoice_id, r.amount_cents, r.status::text from public.payment_refunds r"
        " join public.payments p on p.id = r.payment_id where p.gateway_account_id = %s", [shop.account["id"]],
    ).fetchall()  # fmt: skip
    given = {str(row["invoice_id"]): (row["amount_cents"], row["status"]) for row in back}
    assert given == {invoices[0]: (10000, "succeeded"), invoices[1]: (6000, "succeeded")}
    assert sorted(refund["amount"] for refund in shop.at_gateway("GET", "/v1/refunds")["data"]) == [6000, 10000]


@pytest.mark.parametrize(("inclusive", "price"), [(False, 11800), (True, 10000)])
def test_a_group_that_is_cancelled_pays_back_by_each_seats_own_terms(shop: Shop, inclusive: bool, price: int) -> None:
    """From the policy to the gateway: one person gave the seat up late and owes half, the coach cancels the rest."""
    world, call = shop.world, shop.live.call
    practice = {"tax_rate_bp": 1800, "prices_include_tax": inclusive}
    assert call(shop.coach, "PATCH", "/practice", practice)["http_status"] == 200
    second = person(world.owner, "client")
    relate(world.owner, shop.coach, second)
    template = add_template(
        world.owner, shop.coach, session_type="group", default_capacity=5, default_price_cents=10000
    )
    policy = {"tiers": [{"hours": 240, "percent": 50}]}
    path = f"/session-templates/{template}/cancellation-policy"
    assert call(shop.coach, "PUT", path, policy)["http_status"] == 200
    group = {"type": "group", "template_id": str(template), "starts_at": at(4).isoformat()}
    session = call(shop.coach, "POST", "/sessions", group)["id"]
    paid: dict[UUID, str] = {}
    for client in (shop.client, second):
        seat = call(shop.coach, "POST", f"/sessions/{session}/attendees", {"user_id": str(client)})
        assert seat["http_status"] == 201, seat
        call(client, "POST", f"/sessions/{session}/respond", {"answer": "confirmed"})
        # A workbook beside the seat: its money is none of the session's.
        lines: list[dict[str, Any]] = [{"attendee_id": seat["id"]}, {"description": "Workbook", "amount_cents": 5000}]
        draft = call(shop.coach, "POST", "/invoices", {"client_id": str(client), "lines": lines})
        call(shop.coach, "POST", f"/invoices/{draft['id']}/finalize")
        intent = call(client, "POST", f"/invoices/{draft['id']}/payment-intents")["id"]
        confirm = {"card_token": "pm_card_visa"}
        assert call(client, "POST", f"/payment-intents/{intent}/confirm", confirm)["status"] == "succeeded"
        paid[client] = draft["id"]
    assert call(shop.client, "POST", f"/sessions/{session}/leave", {})["http_status"] == 200
    assert call(shop.coach, "POST", f"/sessions/{session}/cancel", {"reason": "ill"})["http_status"] == 200
    assert len(call(shop.coach, "POST", f"/sessions/{session}/refunds")["refunds"]) == 2
    back = {client: call(client, "GET", "/refunds")["items"] for client in paid}
    assert [refund["amount_cents"] for refund in back[shop.client]] == [price // 2]
    assert [refund["amount_cents"] for refund in back[second]] == [price]
    assert sorted(refund["amount"] for refund in shop.at_gateway("GET", "/v1/refunds")["data"]) == [price // 2, price]
    assert call(shop.coach, "POST", f"/sessions/{session}/refunds")["refunds"] == []
