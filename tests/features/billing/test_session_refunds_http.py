"""A cancelled group gives each of its people back what that person paid beyond what is owed."""

from __future__ import annotations

from typing import Any

from tests.features.billing.shop import Shop
from tests.features.billing.world import person, relate


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
