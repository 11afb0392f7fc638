"""Everything unbilled in one call, fees of seats that were given up or missed, and two tabs at once."""

from __future__ import annotations

from typing import Any
from uuid import UUID

import psycopg
import pytest

from tests.features.billing.test_books_sql import act, differences
from tests.features.billing.world import World, addon, at_once, code_of, one, person, relate


def bill(world: World, finalize: bool = True, **more: Any) -> list[dict[str, Any]]:
    """What billing the months of the last days gives; seats of the world are three days old."""
    found: list[dict[str, Any]] = []
    months = world.owner.execute(
        "select distinct date_trunc('month', at at time zone 'Asia/Jerusalem')::date as month"
        " from generate_series(now() - interval '4 days', now(), interval '1 day') as at order by 1"
    ).fetchall()
    for row in months:
        with world.coaching() as conn:
            found += conn.execute(
                "select * from public.bill_month(%s, %s, %s)", [row["month"], finalize, more.get("clients")]
            ).fetchall()
    return found


def fee(world: World, seat: UUID, amount: int = 5000, kind: str = "cancelled") -> UUID:
    """What the seat owes for being given up, as scheduling writes it down."""
    return one(
        world.owner,
        "insert into public.seat_outcomes (session_id, attendee_id, coach_id, kind, by_coach, amount_cents, currency)"
        " select a.session_id, a.id, a.coach_id, %s, false, %s, 'ILS' from public.session_attendees a where a.id = %s"
        " returning id as v",
        kind, amount, seat,
    )  # fmt: skip


def test_one_call_bills_every_client_once_and_group_seats_to_their_attendees(world: World) -> None:
    others = [person(world.owner, "client") for _ in range(2)]
    for other in others:
        relate(world.owner, world.coach, other)
    single = world.seat(35000)
    seats = world.group(world.client, *others, price=25000)
    rows = bill(world)
    assert sorted(row["total_cents"] for row in rows) == [25000, 25000, 60000]
    assert all(row["error_code"] is None and row["document_number"] for row in rows)
    assert {world.seat_status(seat) for seat in (single, *seats)} == {"awaiting_payment"}
    assert bill(world) == []
    assert differences(world) == []


def test_what_is_wrong_with_one_client_does_not_hold_up_the_others(world: World) -> None:
    other = person(world.owner, "client")
    relate(world.owner, world.coach, other)
    world.seat(None)
    fine = world.seat(10000, client=other)
    rows = {row["error_code"]: row for row in bill(world)}
    assert set(rows) == {"seat_without_price", None}
    assert world.seat_status(fine) == "awaiting_payment"


def test_currencies_are_never_mixed_in_one_document(world: World) -> None:
    world.seat(10000)
    world.seat(9000, "USD")
    rows = bill(world)
    assert {(row["currency"], row["total_cents"]) for row in rows} == {("ILS", 10000), ("USD", 9000)}
    with pytest.raises(psycopg.Error) as refused:
        world.draft({"attendee_id": world.seat(100, "USD")}, addon(100), currency="ILS")
    assert code_of(refused) == "currency_mismatch"


def test_a_seat_given_up_or_missed_is_billed_its_fee_and_not_its_price(world: World) -> None:
    missed, late = world.seat(35000), world.seat(35000)
    fee(world, missed, 20000, "no_show")
    world.owner.execute("update public.session_attendees set cancelled_at = now() where id = %s", [late])
    world.owner.execute("delete from public.seat_outcomes where attendee_id = %s", [late])
    fee(world, late, 5000)
    (row,) = bill(world)
    assert (row["items"], row["total_cents"]) == (2, 25000)
    lines = world.owner.execute(
        "select description, outcome_id is not null as fee, attendee_id from public.invoice_line_items"
        " where invoice_id = %s order by description",
        [row["invoice_id"]],
    ).fetchall()
    assert [line["description"].split(",")[0] for line in lines] == ["Late cancellation", "Missed session"]
    assert all(line["fee"] and line["attendee_id"] is None for line in lines)


def test_a_fee_is_billed_once_and_a_waived_one_not_at_all(world: World) -> None:
    seat = world.seat(35000)
    owed = fee(world, seat)
    world.draft({"outcome_id": owed})
    with pytest.raises(psycopg.Error) as refused:
        world.draft({"outcome_id": owed})
    assert code_of(refused) == "invoice_line_items_fee_once"
    waived = fee(world, world.seat(35000))
    draft = world.draft({"outcome_id": waived})
    act(world, "waive_outcome(%s, 'ill')", waived)
    with pytest.raises(psycopg.Error) as refused:
        world.finalize(draft)
    assert code_of(refused) == "fee_not_owed"


def test_another_clients_fee_is_refused(world: World) -> None:
    other = person(world.owner, "client")
    relate(world.owner, world.coach, other)
    owed = fee(world, world.seat(100, client=other))
    with pytest.raises(psycopg.Error) as refused:
        world.draft({"outcome_id": owed})
    assert code_of(refused) == "seat_of_other_client"


def test_two_tabs_billing_the_month_at_once_bill_each_seat_once(world: World) -> None:
    seats = [world.seat(1000) for _ in range(6)]
    results = at_once(8, lambda _: bill(world))
    billed = [row for rows in results if isinstance(rows, list) for row in rows if row["invoice_id"]]
    assert sum(row["total_cents"] for row in billed) == 6000
    assert {world.seat_status(seat) for seat in seats} == {"awaiting_payment"}
    assert differences(world) == []


def test_a_month_is_one_of_the_practices_zone(world: World) -> None:
    session = one(
        world.owner,
        "insert into public.sessions (coach_id, client_id, title, scheduled_at, duration_minutes, status, price_cents)"
        " values (%s, %s, 'Coaching', '2026-02-28T22:30:00Z', 60, 'completed', 100) returning id as v",
        world.coach, world.client,
    )  # fmt: skip
    with world.coaching() as conn:
        february = conn.execute("select * from public.bill_month('2026-02-10')").fetchall()
        march = conn.execute("select * from public.bill_month('2026-03-31')").fetchall()
    assert (len(february), len(march), session is not None) == (0, 1, True)


@pytest.mark.parametrize("amount", [-1, 0, 2**31])
def test_amounts_that_are_none_are_refused_and_nothing_is_written(world: World, amount: int) -> None:
    invoice = world.issued(100)
    before = world.row("select count(*) as n from public.journal_transactions where practice_id = %s", world.practice)
    for call in (
        "record_manual_payment(%s, %s::bigint::integer, 'cash')",
        "credit_invoice(%s, %s::bigint::integer, 'x')",
    ):
        with pytest.raises(psycopg.Error):
            act(world, call, invoice, amount)
    with pytest.raises(psycopg.Error):
        act(world, "record_payment_on_account(%s, %s::bigint::integer, 'ILS', 'cash')", world.relation, amount)
    after = world.row("select count(*) as n from public.journal_transactions where practice_id = %s", world.practice)
    assert before == after


def test_money_on_account_needs_a_currency_and_a_client_of_ones_own(world: World) -> None:
    stranger = person(world.owner, "coach")
    theirs = relate(world.owner, stranger, person(world.owner, "client"))
    with pytest.raises(psycopg.Error) as refused:
        act(world, "record_payment_on_account(%s, 100, 'ILS', 'cash')", theirs)
    assert code_of(refused) == "not_found"
    with pytest.raises(psycopg.Error) as refused:
        act(world, "record_payment_on_account(%s, 100, 'ZZZ', 'cash')", world.relation)
    assert code_of(refused) == "currency_unknown"
