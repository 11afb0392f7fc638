"""Order and races: whatever order events come in and however many hands act at once, one final state."""

from __future__ import annotations

import itertools
import json
import random
from typing import Any
from uuid import uuid4

import pytest

from tests.features.billing.world import World, at_once, one, succeeded

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


def test_sampled_orders_with_repetitions_end_in_one_state_on_the_database(world: World, campaign: bool) -> None:
    ends = {str(play(world, order)) for order in sampled(1000 if campaign else 20)}
    assert ends == {str(("succeeded", "paid", 700, "paid", ["failed"]))}


# races; the naive way of each is there to show that the race is real


def paid(world: World) -> Any:
    return world.paid(100)[1]


def refund_by_the_rules(world: World, payment: Any, _: Any) -> None:
    with world.coaching() as conn:
        conn.execute("select public.request_refund(%s, 30, 'x')", [payment])


def returned(world: World, payment: Any) -> int:
    query = (
        "select coalesce(sum(amount_cents), 0) as v from public.payment_refunds"
        " where payment_id = %s and status <> 'failed'"
    )
    return one(world.owner, query, payment)


def trials(campaign: bool) -> int:
    return 200 if campaign else 12


@pytest.mark.parametrize("threads", [8, 32])
def test_refunds_at_once_never_exceed_the_payment(world: World, campaign: bool, threads: int) -> None:
    wrong = 0
    for _ in range(trials(campaign) if threads == 8 else trials(campaign) // 4):
        payment = paid(world)
        at_once(threads, lambda index, payment=payment: refund_by_the_rules(world, payment, index))
        wrong += returned(world, payment) != 90
    assert wrong == 0


@pytest.mark.parametrize("threads", [8, 32])
def test_a_payment_is_booked_once_by_webhook_janitor_and_tabs_at_once(
    world: World, campaign: bool, threads: int
) -> None:
    wrong = 0
    for _ in range(trials(campaign) if threads == 8 else trials(campaign) // 4):
        invoice = world.issued(700)
        intent = world.intent(invoice)
        said = succeeded(700)

        def act(index: int, intent: Any = intent, said: Any = said) -> Any:
            if index % 4 == 3:
                with world.paying() as conn:
                    conn.execute("select public.cancel_payment_intent(%s)", [intent])
                return None
            return world.outcome(intent, said, looked_up=index % 2 == 0)

        at_once(threads, act)
        query = (
            "select count(*) as n, coalesce(sum(amount_cents), 0) as sum from public.payments"
            " where intent_id = %s and status = 'paid'"
        )
        row = world.row(query, intent)
        wrong += (row["n"], row["sum"], world.invoice(invoice)["amount_paid_cents"]) != (1, 700, 700)
    assert wrong == 0


def test_the_naive_ways_go_wrong_nearly_always(world: World, campaign: bool) -> None:
    """Reading, deciding and writing without a lock: what the rules above guard against happens in most trials."""
    world.owner.execute("create table if not exists naive_refunds (payment uuid, amount integer)")
    world.owner.execute("grant select, insert on naive_refunds to service_role")
    wrong = 0
    count = trials(campaign)
    for _ in range(count):
        payment = uuid4()

        def naive(_: int, payment: Any = payment) -> None:
            with world.serving() as conn:
                sum_ = one(conn, "select coalesce(sum(amount), 0) as v from naive_refunds where payment = %s", payment)
                conn.execute("select pg_sleep(0.002)")
                if sum_ + 30 <= 100:
                    conn.execute("insert into naive_refunds values (%s, 30)", [payment])

        at_once(8, naive)
        wrong += one(world.owner, "select sum(amount) as v from naive_refunds where payment = %s", payment) > 100
    world.owner.execute("drop table naive_refunds")
    assert wrong >= count * 3 // 4
