"""A seat that was given up or missed owes what its terms say, and is not billed its price, however it is put."""

from __future__ import annotations

from functools import partial
from typing import Any
from uuid import UUID

import psycopg
import pytest

from tests.features.billing.test_books_sql import act, differences
from tests.features.billing.test_months_sql import bill, fee
from tests.features.billing.world import World, code_of, one
from tests.features.credits.cards import book, policy, template

HALF = '[{"hours": 8000, "percent": 50}]'


def seat_ahead(world: World, tiers: str = HALF) -> tuple[UUID, UUID]:
    """A session of 350.00 in ten days, on these terms, and the client's seat."""
    template_of = template(world)
    policy(world, template_of, tiers)
    return book(world, template_of)


def cancel(world: World, session: UUID, who: UUID) -> None:
    with world.as_user(who) as conn:
        conn.execute("select public.cancel_session(%s, 'ill')", [session])


def owed(world: World, seat: UUID) -> tuple[UUID, int]:
    row = world.row(
        "select id, owed_cents from public.seat_outcomes where attendee_id = %s and undone_at is null", seat
    )
    return row["id"], row["owed_cents"]


def refused(code: str, call: Any) -> None:
    with pytest.raises(psycopg.Error) as said:
        call()
    assert code_of(said) == code


@pytest.mark.parametrize(("tiers", "by", "owes"), [(HALF, "client", 17500), ("[]", "client", 0), (HALF, "coach", 0)])
def test_a_draft_is_not_issued_with_a_seat_that_was_given_up_since(
    world: World, tiers: str, by: str, owes: int
) -> None:
    session, seat = seat_ahead(world, tiers)
    draft = world.draft({"session_id": session})
    cancel(world, session, world.client if by == "client" else world.coach)
    outcome, cents = owed(world, seat)
    assert cents == owes
    refused("seat_given_up", lambda: world.finalize(draft))
    # While its line is there, the fee stands on no document.
    code = "seat_already_billed" if owes else "fee_not_owed"
    refused(code, lambda: world.draft({"outcome_id": outcome}))
    line = one(world.owner, "select id as v from public.invoice_line_items where invoice_id = %s", draft)
    act(world, "remove_invoice_line(%s)", line)
    if owes:
        with world.coaching() as conn:
            conn.execute(
                "select public.add_invoice_line(%s, jsonb_build_object('outcome_id', %s::uuid))", [draft, outcome]
            )
        world.finalize(draft)
        assert world.invoice(draft)["total_amount_cents"] == owes
        assert differences(world) == []


def test_a_seat_that_was_given_up_is_put_on_no_draft_and_its_fee_is(world: World) -> None:
    session, seat = seat_ahead(world)
    cancel(world, session, world.client)
    outcome, _ = owed(world, seat)
    for line in ({"session_id": session}, {"attendee_id": seat}):
        refused("seat_given_up", partial(world.draft, line))
        refused("seat_given_up", partial(world.draft, {"outcome_id": outcome}, line))
    draft = world.draft({"outcome_id": outcome})
    world.finalize(draft)
    assert world.invoice(draft)["total_amount_cents"] == 17500


def test_a_seat_in_a_group_that_was_given_up_holds_up_its_own_draft_alone(world: World) -> None:
    given_up, (stays,) = world.seat(), world.group(world.client)
    first, second = world.draft({"attendee_id": given_up}), world.draft({"attendee_id": stays})
    world.owner.execute("update public.session_attendees set cancelled_at = now() where id = %s", [given_up])
    world.finalize(second)
    refused("seat_given_up", lambda: world.finalize(first))


def test_a_seat_that_is_taken_again_and_a_miss_taken_back_are_billed_as_any(world: World) -> None:
    seat = world.seat()
    fee(world, seat, kind="no_show")
    refused("seat_given_up", lambda: world.draft({"attendee_id": seat}))
    world.owner.execute("update public.seat_outcomes set undone_at = now() where attendee_id = %s", [seat])
    world.finalize(world.draft({"attendee_id": seat}))
    assert world.seat_status(seat) == "awaiting_payment"


def test_a_missed_session_that_owes_nothing_by_terms_is_billed_by_hand_alone(world: World) -> None:
    session = one(
        world.owner,
        "insert into public.sessions (coach_id, client_id, title, scheduled_at, duration_minutes, status, price_cents)"
        " values (%s, %s, 'Coaching', now() - interval '3 days', 60, 'no_show', 35000) returning id as v",
        world.coach,
        world.client,
    )
    assert bill(world) == []
    world.finalize(world.draft({"session_id": session}))


def test_a_late_move_is_owed_besides_the_price(world: World) -> None:
    seat = world.seat(35000)
    moved = fee(world, seat, 5000, "moved")
    world.finalize(world.draft({"attendee_id": seat}))
    draft = world.draft({"outcome_id": moved})
    world.finalize(draft)
    assert world.invoice(draft)["total_amount_cents"] == 5000


@pytest.mark.parametrize("settled", ["paid", "written_off"])
def test_the_fee_of_a_seat_that_was_settled_before_is_billed_by_nobody(world: World, settled: str) -> None:
    seat = world.seat(35000)
    owes = fee(world, seat)
    world.owner.execute("update public.session_attendees set billing_status = %s where id = %s", [settled, seat])
    assert bill(world) == []
    refused("seat_already_billed", lambda: world.draft({"outcome_id": owes}))
