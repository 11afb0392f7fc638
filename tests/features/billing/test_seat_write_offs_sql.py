"""Seats that a coach gives up on before they are billed: with a reason, once, and never beside an invoice."""

from __future__ import annotations

import psycopg
import pytest

from tests.features.billing.test_books_sql import act, differences
from tests.features.billing.test_months_sql import bill, fee
from tests.features.billing.world import World, at_once, code_of, one, person


def refused_as(code: str, world: World, call: str, *arguments: object) -> None:
    with pytest.raises(psycopg.Error) as refused:
        act(world, call, *arguments)
    assert code_of(refused) == code


def test_a_seat_is_written_off_with_who_and_why_and_is_not_billed_until_it_is_taken_back(world: World) -> None:
    seat = world.seat(35000)
    fee(world, seat, kind="no_show")
    written_off = act(world, "write_off_seat(%s, 'An apology')", seat)
    assert act(world, "write_off_seat(%s, 'again')", seat) == written_off
    row = world.row("select * from public.seat_write_offs where id = %s", written_off)
    assert (row["reason"], row["written_off_by"], row["amount_cents"], row["undone_at"]) == (
        "An apology", world.coach, 35000, None,
    )  # fmt: skip
    assert (row["practice_id"], row["coach_client_id"]) == (world.practice, world.relation)
    assert world.seat_status(seat) == "written_off"
    assert one(world.owner, "select billing_status as v from public.sessions where id = (select session_id from"
               " public.session_attendees where id = %s)", seat) == "written_off"  # fmt: skip
    assert bill(world) == []
    assert differences(world) == []
    assert act(world, "restore_seat(%s)", seat) == act(world, "restore_seat(%s)", seat) == written_off
    row = world.row("select * from public.seat_write_offs where id = %s", written_off)
    assert (row["undone_by"], row["undone_at"] is not None) == (world.coach, True)
    assert bill(world)[0]["total_cents"] == 5000  # the fee of the seat, which is what it owes
    assert differences(world) == []


def test_what_has_an_invoice_is_written_off_with_it(world: World) -> None:
    seat = world.seat(35000)
    draft = world.draft({"attendee_id": seat})
    refused_as("seat_already_billed", world, "write_off_seat(%s, 'x')", seat)
    world.finalize(draft)
    refused_as("seat_already_billed", world, "write_off_seat(%s, 'x')", seat)
    refused_as("seat_not_written_off", world, "restore_seat(%s)", seat)
    act(world, "void_invoice(%s)::text", draft)
    act(world, "write_off_seat(%s, 'x')", seat)
    with pytest.raises(psycopg.Error) as refused:
        world.draft({"attendee_id": seat})
    assert code_of(refused) == "seat_already_billed"


def test_an_older_void_invoice_that_moves_leaves_the_write_off_alone(world: World) -> None:
    seat = world.seat(35000)
    invoice = world.draft({"attendee_id": seat})
    world.finalize(invoice)
    act(world, "write_off_invoice(%s, 'x')::text", invoice)
    act(world, "void_invoice(%s)::text", invoice)
    act(world, "write_off_seat(%s, 'x')", seat)
    act(world, "restore_invoice(%s)::text", invoice)
    assert world.seat_status(seat) == "written_off"
    assert differences(world) == []


def test_a_reason_is_needed_and_a_seat_of_ones_own(world: World) -> None:
    seat = world.seat(35000)
    refused_as("reason_needed", world, "write_off_seat(%s, ' ')", seat)
    refused_as("reason_needed", world, "write_off_seat(%s, null)", seat)
    refused_as("not_found", world, "write_off_seat(gen_random_uuid(), 'x')")
    other = person(world.owner, "coach")
    for call in ("write_off_seat(%s, 'x')", "restore_seat(%s)"):
        with world.as_user(other) as conn, pytest.raises(psycopg.Error) as refused:
            conn.execute(f"select public.{call}", [seat])
        assert code_of(refused) == "not_found"


def test_a_seat_written_off_and_billed_at_once_is_one_of_both(world: World) -> None:
    for _ in range(5):
        seat = world.seat(35000)
        deeds = [
            lambda seat=seat: world.draft({"attendee_id": seat}),
            lambda seat=seat: act(world, "write_off_seat(%s, 'x')", seat),
        ]
        results = at_once(2, lambda n, deeds=deeds: deeds[n]())
        refused = [each for each in results if isinstance(each, psycopg.Error)]
        assert [each.diag.constraint_name for each in refused] == ["seat_already_billed"]
    assert differences(world) == []


def test_a_write_off_that_its_seat_does_not_show_is_found(world: World) -> None:
    """The negative control of the check."""
    seat = world.seat(35000)
    act(world, "write_off_seat(%s, 'x')", seat)
    world.owner.execute("update public.session_attendees set billing_status = 'unbilled' where id = %s", [seat])
    assert differences(world) == [("seat_written_off", str(seat))]
