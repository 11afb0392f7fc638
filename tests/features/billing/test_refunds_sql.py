"""Refunds in the database: together never more than was paid."""

from __future__ import annotations

import json
from typing import Any
from uuid import UUID

import psycopg
import pytest

from tests.features.billing.world import World, at_once, code_of, one, succeeded

Refused = psycopg.Error


def refund_at_once(payment: UUID, url: str) -> list[Any]:
    def work(_: int) -> None:
        with psycopg.connect(url) as conn:
            conn.execute("insert into public.payment_refunds (payment_id, amount_cents) values (%s, 30)", [payment])

    return at_once(8, work)


def refunded(world: World, payment: UUID) -> int:
    return one(
        world.owner,
        "select coalesce(sum(amount_cents), 0)::int as v from public.payment_refunds where"
        " payment_id = %s and status <> 'failed'",
        payment,
    )


def test_eight_refunds_of_30_at_once_never_exceed_100_even_as_plain_inserts(world: World, database_url: str) -> None:
    for _ in range(5):
        _, payment = world.paid(100)
        results = refund_at_once(payment, database_url)
        assert refunded(world, payment) == 90
        codes = [result.diag.constraint_name for result in results if isinstance(result, psycopg.Error)]
        assert codes == ["refund_exceeds_payment"] * 5


def test_refunds_in_repeatable_read_cannot_exceed_the_payment_either(world: World, database_url: str) -> None:
    _, payment = world.paid(100)

    def work(_: int) -> None:
        with psycopg.connect(database_url) as conn:
            conn.isolation_level = psycopg.IsolationLevel.REPEATABLE_READ
            conn.execute("insert into public.payment_refunds (payment_id, amount_cents) values (%s, 30)", [payment])

    at_once(8, work)
    assert refunded(world, payment) <= 90


def test_a_partial_refund_keeps_the_payment_paid_and_the_last_one_ends_it(world: World) -> None:
    seat = world.seat(10000)
    invoice = world.draft({"attendee_id": seat})
    world.finalize(invoice)
    intent = world.intent(invoice)
    world.outcome(intent, succeeded(10000))
    payment = one(world.owner, "select id as v from public.payments where intent_id = %s", intent)
    with world.coaching() as conn:
        first = one(conn, "select public.request_refund(%s, 4000, 'half') as v", payment)
    refund_outcome(world, first, "succeeded")
    assert (world.payment(payment)["status"], world.payment(payment)["refunded_cents"]) == ("paid", 4000)
    row = world.invoice(invoice)
    assert (row["status"], row["amount_paid_cents"], row["amount_refunded_cents"]) == ("paid", 6000, 4000)
    assert world.seat_status(seat) == "paid"
    with world.coaching() as conn:
        rest = one(conn, "select public.request_refund(%s) as v", payment)
    refund_outcome(world, rest, "succeeded")
    assert (world.payment(payment)["status"], world.invoice(invoice)["status"]) == ("refunded", "refunded")
    assert world.seat_status(seat) == "written_off"
    # A refund that fails after it succeeded gives everything back.
    refund_outcome(world, rest, "failed")
    assert (world.payment(payment)["status"], world.invoice(invoice)["status"]) == ("paid", "paid")
    assert world.seat_status(seat) == "paid"
    assert refund_outcome(world, rest, "succeeded") == "unchanged"


def refund_outcome(world: World, refund: UUID, status: str) -> str:
    row = world.row("select amount_cents, currency from public.payment_refunds where id = %s", refund)
    snapshot = {"status": status, "provider_refund_id": f"re_{refund}", **row}
    with world.serving() as conn:
        return one(conn, "select public.record_refund_outcome(%s, %s) as v", refund, json.dumps(snapshot))


def test_more_than_was_paid_cannot_go_back_and_what_was_not_paid_not_at_all(world: World) -> None:
    _, payment = world.paid(100)
    with world.coaching() as conn, pytest.raises(Refused) as refused:
        conn.execute("select public.request_refund(%s, 101, 'x')", [payment])
    assert code_of(refused) == "refund_exceeds_payment"
    with world.coaching() as conn, pytest.raises(Refused) as refused:
        conn.execute("select public.request_refund(%s, 0, 'x')", [payment])
    assert code_of(refused) == "payment_refunds_amount_cents_check"
    pending = one(
        world.owner,
        "insert into public.payments (amount_cents, practice_id) values (5, %s) returning id as v",
        world.practice,
    )
    with world.coaching() as conn, pytest.raises(Refused) as refused:
        conn.execute("select public.request_refund(%s, 5, 'x')", [pending])
    assert code_of(refused) == "payment_not_made"


def test_the_same_refund_key_is_the_same_refund(world: World) -> None:
    _, payment = world.paid(100)
    with world.coaching() as conn:
        first = one(conn, "select public.request_refund(%s, 30, 'x', 'k') as v", payment)
        assert one(conn, "select public.request_refund(%s, 30, 'x', 'k') as v", payment) == first
    with world.coaching() as conn, pytest.raises(Refused) as refused:
        conn.execute("select public.request_refund(%s, 31, 'x', 'k')", [payment])
    assert code_of(refused) == "idempotency_key_reused"


def test_a_refund_made_at_the_gateway_is_booked_too(world: World) -> None:
    _, payment = world.paid(100)
    charge = world.payment(payment)["provider_transaction_id"]
    snapshot = {
        "provider_refund_id": "re_dash",
        "status": "succeeded",
        "currency": "ILS",
        "amount_cents": 100,
        "charge_id": charge,
    }
    with world.serving() as conn:
        for wanted in ("applied", "unchanged", "unchanged"):
            assert (
                one(conn, "select public.record_refund_news(%s, %s) as v", world.account, json.dumps(snapshot))
                == wanted
            )
    assert world.payment(payment)["status"] == "refunded"


@pytest.mark.parametrize(
    "table", ["payments", "payment_refunds", "payment_allocations", "payment_line_items", "payment_intents"]
)
def test_money_is_never_deleted(world: World, table: str) -> None:
    _, payment = world.paid(100)
    refund_at = "insert into public.payment_refunds (payment_id, amount_cents) values (%s, 1)"
    world.owner.execute(refund_at, [payment])
    with pytest.raises(Refused) as refused:
        world.owner.execute(f"delete from public.{table}")
    assert code_of(refused) == "money_is_kept"
