"""Credits under concurrency: the last one is spent once, and without its guard it is not."""

from __future__ import annotations

from typing import Any
from uuid import UUID

import psycopg
import pytest

from tests.features.billing.overtaking import coach, overtaken, service
from tests.features.billing.test_books_sql import by_hand, differences
from tests.features.billing.world import World, at_once, code_of, one
from tests.features.credits.cards import begin, book, give, ledger, left, package, sell, template

THREADS = 8
ENTRY = (
    "insert into public.credit_entries (credit_id, practice_id, change, reason, note)"
    " values (%s, %s, -2, 'moved', 'race')"
)


def test_many_bookings_share_the_last_credits(world: World) -> None:
    offer = template(world)
    credit = give(world, offer, 3)

    def work(turn: int) -> tuple[UUID, UUID]:
        return book(world, offer, days=10 + turn)

    seats = [seat for _, seat in at_once(THREADS, work)]
    states = sorted(world.seat_status(seat) for seat in seats)
    assert states == ["paid"] * 3 + ["unbilled"] * (THREADS - 3)
    assert (left(world, credit), len(ledger(world, credit))) == (0, 4)


def test_one_seat_takes_one_credit_however_often_it_is_asked_for(world: World) -> None:
    offer = template(world)
    _, seat = book(world, offer)
    credit = give(world, offer, 5)

    def work(_: int) -> UUID:
        with world.coaching() as conn:
            return one(conn, "select public.spend_credit(%s) as v", seat)

    assert set(at_once(THREADS, work)) == {credit}
    assert left(world, credit) == 4


def test_moves_at_once_stop_at_zero(world: World) -> None:
    credit = give(world, template(world), 3)

    def work(_: int) -> int:
        with world.coaching() as conn:
            return one(conn, "select public.move_credits(%s, -1, 'race') as v", credit)

    said = at_once(THREADS, work)
    refused = [answer for answer in said if isinstance(answer, psycopg.Error)]
    assert len(refused) == THREADS - 3
    assert {answer.diag.constraint_name for answer in refused} == {"credits_used_up"}
    assert left(world, credit) == 0


def test_a_move_sees_the_one_before_it(world: World, api_url: str) -> None:
    credit = give(world, template(world), 3)
    move = coach("public.move_credits(%s, -2, 'x')", credit)
    assert overtaken(world, api_url, move, move) == "credits_used_up"
    assert left(world, credit) == 1


def test_of_two_seats_the_second_finds_the_last_credit_gone(world: World, api_url: str) -> None:
    offer = template(world)
    seats = [book(world, offer, days=10 + turn)[1] for turn in range(2)]
    credit = give(world, offer, 1)
    deeds = [coach("public.spend_credit(%s)", seat) for seat in seats]
    assert overtaken(world, api_url, deeds[0], deeds[1]) == "no_credit"
    assert left(world, credit) == 0


def test_a_session_that_ends_while_its_seat_takes_a_credit_takes_no_second(world: World, api_url: str) -> None:
    offer = template(world)
    session, seat = book(world, offer)
    begin(world, session)
    credit = give(world, offer, 5)
    spend = coach("public.spend_credit(%s)", seat)
    end = service("update public.sessions set status = 'completed' where id = %s", session)
    assert overtaken(world, api_url, spend, end) == str(session)
    assert (left(world, credit), world.seat_status(seat)) == (4, "paid")


def test_credits_that_are_being_extended_do_not_end(world: World, api_url: str) -> None:
    credit = give(world, template(world), 3)
    world.owner.execute("update public.credits set expires_at = now() - interval '30 days' where id = %s", [credit])
    extend = coach("public.extend_credits(%s, now() + interval '30 days')", credit)
    assert overtaken(world, api_url, extend, service("private.expire_credits()")) == "0"
    assert left(world, credit) == 3


def test_a_sale_that_is_taken_back_takes_what_a_move_has_left(world: World, api_url: str) -> None:
    draft, credit = sell(world, package(world, template(world), sessions=3))
    world.finalize(draft)
    payment = by_hand(world, draft, 90000)
    refund = coach("public.request_refund(%s, null, 'x')", payment)
    assert len(overtaken(world, api_url, coach("public.move_credits(%s, -1, 'x')", credit), refund) or "") == 36
    assert ledger(world, credit) == [(3, "granted"), (-1, "moved"), (-2, "withdrawn")]
    assert differences(world) == []


def race_entries(world: World, credit: UUID, database_url: str) -> list[Any]:
    """Entries straight into the ledger, past every function, as only the owner can write them."""

    def work(_: int) -> bool:
        with psycopg.connect(database_url, autocommit=True) as conn:
            conn.execute(ENTRY, [credit, world.practice])
        return True

    return at_once(THREADS, work)


def test_the_balance_holds_for_every_writer_and_only_by_its_check(world: World, database_url: str) -> None:
    credit = give(world, template(world), 5)
    said = race_entries(world, credit, database_url)
    assert sum(answer is True for answer in said) == 2
    assert left(world, credit) == 1
    with pytest.raises(psycopg.Error) as refused:
        world.owner.execute(ENTRY, [credit, world.practice])
    assert code_of(refused) == "credits_never_below_zero"
    # Negative control: without the check the same race goes below zero.
    world.owner.execute("alter table public.credits drop constraint credits_never_below_zero")
    try:
        race_entries(world, credit, database_url)
        assert left(world, credit) < 0
    finally:
        world.owner.execute(
            "insert into public.credit_entries (credit_id, practice_id, change, reason, note)"
            " values (%s, %s, %s, 'moved', 'put right')",
            [credit, world.practice, -left(world, credit)],
        )
        world.owner.execute("alter table public.credits add constraint credits_never_below_zero check (balance >= 0)")
