"""Order: whatever order events come in and however often, one final state."""

from __future__ import annotations

import itertools
import json
import random
from typing import Any
from uuid import uuid4

from tests.features.billing.world import World, one, succeeded

RANK = {"requires_payment_method": 1, "requires_confirmation": 2, "processing": 3, "canceled": 4, "succeeded": 5}
REFUND_RANK = {"pending": 1, "processing": 2, "succeeded": 3, "failed": 4}
# One payment's life at the gateway, each event with the picture of its moment.
LIFE: list[tuple[str, str]] = [
    ("intent", "requires_payment_method"),
    ("intent", "requires_confirmation"),
    ("intent", "processing"),
    ("intent", "succeeded"),
    ("intent", "succeeded"),
    ("refund", "processing"),
    ("refund", "succeeded"),
    ("refund", "failed"),
]


def model(order: tuple[int, ...]) -> tuple[str, str | None]:
    """The rules without a database: a higher rank is news; refunds wait for the payment they are of."""
    intent, refund, waiting = "requires_payment_method", None, []
    for place in order:
        subject, status = LIFE[place]
        if subject == "intent":
            intent = max(intent, status, key=RANK.__getitem__)
        else:
            waiting.append(status)
        if intent == "succeeded":
            for news in waiting:
                refund = news if refund is None else max(refund, news, key=REFUND_RANK.__getitem__)
            waiting = []
    return intent, refund


def test_all_orders_of_a_life_end_in_one_state_in_the_model() -> None:
    ends = {model(order) for order in itertools.permutations(range(len(LIFE)))}
    assert ends == {("succeeded", "failed")}


def play(world: World, order: list[int]) -> tuple[Any, ...]:
    """The same against the database: what it can't place yet comes again, as a gateway's repetitions do."""
    invoice = world.issued(700)
    intent = world.intent(invoice)
    charge, refund = f"ch_{uuid4()}", f"re_{uuid4()}"
    left: list[int] = order
    while left:
        later: list[int] = []
        for place in left:
            subject, status = LIFE[place]
            if subject == "intent":
                news = (
                    succeeded(700, charge_id=charge) if status == "succeeded" else {"status": status, "currency": "ILS"}
                )
                world.outcome(intent, news)
                continue
            told = {
                "provider_refund_id": refund, "status": status, "provider_status": status, "currency": "ILS",
                "amount_cents": 700, "charge_id": charge,
            }  # fmt: skip
            with world.serving() as conn:
                said = one(conn, "select public.record_refund_news(%s, %s) as v", world.account, json.dumps(told))
            if said == "unknown_payment":
                later.append(place)
        left = later
    row = world.row(
        "select i.status::text as intent, v.status::text as invoice, v.amount_paid_cents as paid,"
        " p.status::text as payment,"
        " (select array_agg(r.status::text) from public.payment_refunds r where r.payment_id = p.id) as refunds"
        " from public.payment_intents i join public.invoices v on v.id = i.invoice_id"
        " join public.payments p on p.intent_id = i.id where i.id = %s", intent,
    )  # fmt: skip
    return tuple(row.values())


def sampled(count: int) -> list[list[int]]:
    chance = random.Random(2)  # noqa: S311 - orders that come again, not secrets
    return [
        chance.sample([*range(len(LIFE)), *chance.choices(range(len(LIFE)), k=3)], len(LIFE) + 3) for _ in range(count)
    ]


def test_sampled_orders_with_repetitions_end_in_one_state_on_the_database(
    standing_world: World, campaign: bool
) -> None:
    ends = {str(play(standing_world, order)) for order in sampled(1000 if campaign else 20)}
    assert ends == {str(("succeeded", "paid", 700, "paid", ["failed"]))}
