"""Many hands at one invoice or payment: whatever the order, no more is given out than there is.

What the same hands do without locks and counters is in test_overtaking_sql.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import psycopg
import pytest

from tests.features.billing.test_books_sql import act, by_hand, differences
from tests.features.billing.world import World, at_once, one

HANDS = 8


def done(results: list[Any]) -> int:
    """How many were not refused; a deadlock or a cut connection is a defect."""
    refused = [each for each in results if isinstance(each, psycopg.Error)]
    assert not [each for each in refused if each.diag.constraint_name is None], refused
    return len(results) - len(refused)


def test_a_payment_given_to_eight_invoices_at_once_is_given_once(world: World) -> None:
    invoices = [world.issued(3000) for _ in range(HANDS)]
    payment = act(world, "record_payment_on_account(%s, 10000, 'ILS', 'cash')", world.relation)
    results = at_once(HANDS, lambda n: act(world, "allocate_to_invoice(%s, %s, 3000)", payment, invoices[n]))
    assert done(results) == 3
    assert world.payment(payment)["allocated_cents"] == 9000
    assert differences(world) == []


def test_eight_payments_for_one_invoice_at_once_pay_it_once(world: World) -> None:
    invoice = world.issued(10000)
    payments = [act(world, "record_payment_on_account(%s, 4000, 'ILS', 'cash')", world.relation) for _ in range(HANDS)]
    results = at_once(HANDS, lambda n: act(world, "allocate_to_invoice(%s, %s, 4000)", payments[n], invoice))
    assert done(results) == 2
    assert world.invoice(invoice)["amount_paid_cents"] == 8000
    assert differences(world) == []


def test_eight_credit_notes_at_once_take_back_no_more_than_there_is(world: World) -> None:
    invoice = world.issued(10000)
    results = at_once(HANDS, lambda _: act(world, "credit_invoice(%s, 3000, 'x')", invoice))
    assert done(results) == 3
    assert world.invoice(invoice)["credited_cents"] == 9000
    assert differences(world) == []


def test_undoing_refunding_releasing_and_crediting_at_once_leave_books_that_agree(world: World) -> None:
    for _ in range(5):
        invoice = world.issued(10000)
        payment = by_hand(world, invoice, 10000)
        deeds: list[Callable[[], Any]] = [
            lambda p=payment: act(world, "undo_payment(%s, 'x')", p),
            lambda p=payment: act(world, "request_refund(%s, 7000, 'x')", p),
            lambda p=payment, i=invoice: act(world, "release_from_invoice(%s, %s)", p, i),
            lambda i=invoice: act(world, "credit_invoice(%s, 6000, 'x')", i),
            lambda i=invoice: act(world, "write_off_invoice(%s, 'x')::text", i),
            lambda p=payment: act(world, "issue_receipt(%s)", p),
        ]
        done(at_once(len(deeds), lambda n, deeds=deeds: deeds[n]()))
    assert differences(world) == []


def test_moving_the_money_of_two_payments_between_two_invoices_at_once_never_locks_up(world: World) -> None:
    """Each hand takes an invoice and a payment that another needs next: a deadlock would be no refusal of ours."""
    invoices = [world.issued(10000) for _ in range(2)]
    payments = [act(world, "record_payment_on_account(%s, 10000, 'ILS', 'cash')", world.relation) for _ in range(2)]
    for payment in payments:
        for invoice in invoices:
            act(world, "allocate_to_invoice(%s, %s, 2000)", payment, invoice)

    def move(n: int) -> None:
        payment, invoice = payments[n % 2], invoices[n // 2 % 2]
        for _ in range(5):
            if n < 4:
                act(world, "release_from_invoice(%s, %s, 100)", payment, invoice)
                act(world, "allocate_to_invoice(%s, %s, 100)", payment, invoice)
            else:
                act(world, "credit_invoice(%s, 100, 'x')", invoice)

    assert done(at_once(HANDS, move)) == HANDS
    assert differences(world) == []


@pytest.mark.parametrize("pair", [("finalize_invoice(%s)", "delete_draft_invoice(%s)::text")])
def test_issuing_and_throwing_away_at_once_do_one_of_both(world: World, pair: tuple[str, str]) -> None:
    for _ in range(10):
        draft = world.draft({"description": "Add-on", "amount_cents": 100})
        at_once(2, lambda n, draft=draft: act(world, pair[n], draft))
    kept = one(world.owner, "select count(*) as v from public.invoices where practice_id = %s", world.practice)
    numbers = one(
        world.owner, "select coalesce(max(number), 0) as v from public.invoices where practice_id = %s", world.practice
    )
    assert kept == numbers
    assert differences(world) == []
