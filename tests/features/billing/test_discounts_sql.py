"""A discount off the whole document: what it takes off, from whom it is kept apart, and how it ends at zero."""

from __future__ import annotations

import json
from uuid import UUID

import psycopg
import pytest

from tests.features.billing.test_books_sql import accounts, act, by_hand, differences, registered
from tests.features.billing.world import World, addon, code_of, one
from tests.features.credits.cards import package, template


def edit(world: World, invoice: UUID, **changes: object) -> None:
    act(world, "edit_draft_invoice(%s, %s)::text", invoice, json.dumps(changes))


def sums(world: World, invoice: UUID) -> tuple[int, int, int]:
    row = world.invoice(invoice)
    return row["subtotal_cents"], row["tax_cents"], row["total_amount_cents"]


@pytest.mark.parametrize(
    ("inclusive", "expected"), [(False, (10000, 1800, 11800)), (True, (8475, 1525, 10000))], ids=["on top", "within"]
)
def test_a_discount_of_the_document_comes_off_before_the_tax(
    world: World, inclusive: bool, expected: tuple[int, int, int]
) -> None:
    invoice = world.draft(
        addon(6000, quantity=2, discount_cents=500), tax_rate_bp=1800, tax_inclusive=inclusive, discount_cents=1500
    )
    assert sums(world, invoice) == expected
    world.finalize(invoice)
    by_hand(world, invoice, expected[2])
    assert accounts(world) == {"cash": expected[2], "revenue": -expected[0], "tax": -expected[1]}
    assert differences(world) == []
    with pytest.raises(psycopg.Error) as refused:
        world.owner.execute("update public.invoices set discount_cents = 0 where id = %s", [invoice])
    assert code_of(refused) == "invoice_final"


def test_a_discount_follows_the_draft_and_is_at_most_what_the_lines_make(world: World) -> None:
    invoice = world.draft(addon(1000), addon(500))
    edit(world, invoice, discount_cents=1500)
    assert sums(world, invoice) == (0, 0, 0)
    line = one(
        world.owner, "select id as v from public.invoice_line_items where invoice_id = %s order by position limit 1",
        invoice,
    )  # fmt: skip
    for call, arguments, code in (
        ("edit_draft_invoice(%s, %s)::text", [invoice, '{"discount_cents": 1501}'], "discount_exceeds_lines"),
        ("edit_draft_invoice(%s, %s)::text", [invoice, '{"discount_cents": -1}'], "invoices_amounts_not_negative"),
        ("remove_invoice_line(%s)::text", [line], "discount_exceeds_lines"),
    ):
        with pytest.raises(psycopg.Error) as refused:
            act(world, call, *arguments)
        assert code_of(refused) == code
    with pytest.raises(psycopg.Error) as refused:
        world.draft(addon(1000), discount_cents=1001)
    assert code_of(refused) == "discount_exceeds_lines"
    edit(world, invoice, discount_cents=0)
    act(world, "remove_invoice_line(%s)::text", line)
    assert sums(world, invoice) == (500, 0, 500)
    act(world, "delete_draft_invoice(%s)::text", invoice)


def test_a_discount_is_not_earned_with_the_sessions_of_a_package(world: World) -> None:
    registered(world)
    offer = template(world)
    invoice = world.draft(addon(30000), tax_rate_bp=1800)
    act(world, "sell_package(%s, %s)", invoice, package(world, offer, sessions=3, price_cents=90000))
    edit(world, invoice, discount_cents=12000)
    world.finalize(invoice)
    # Three quarters of the document are the package, and so three quarters of the discount.
    assert accounts(world)["credits"] == -81000
    assert differences(world) == []


@pytest.mark.parametrize(("inclusive", "back"), [(False, 10620), (True, 9000)], ids=["tax on top", "tax within"])
def test_a_cancelled_session_gives_back_what_its_seat_made_of_the_total(
    world: World, inclusive: bool, back: int
) -> None:
    seat = world.seat(10000)
    invoice = world.draft(
        {"attendee_id": seat}, addon(10000), tax_rate_bp=1800, tax_inclusive=inclusive, discount_cents=2000
    )
    world.finalize(invoice)
    by_hand(world, invoice, world.invoice(invoice)["total_amount_cents"])
    session = one(world.owner, "select session_id as v from public.session_attendees where id = %s", seat)
    world.owner.execute(
        "insert into public.seat_outcomes (session_id, attendee_id, coach_id, kind, by_coach, amount_cents, currency)"
        " values (%s, %s, %s, 'cancelled', true, 0, 'ILS')",
        [session, seat, world.coach],
    )
    act(world, "refund_cancelled_session(%s)", session)
    assert one(world.owner, "select sum(amount_cents) as v from public.payment_refunds where practice_id = %s",
               world.practice) == back  # fmt: skip
    assert differences(world) == []
