"""A payment for a time that is held: it makes the session, whatever comes first, or the money goes back."""

from __future__ import annotations

import json
from datetime import datetime
from typing import Any
from uuid import UUID

import psycopg
import pytest

from tests.features.billing.test_books_sql import differences
from tests.features.billing.world import World, at_once, code_of, one, person, succeeded
from tests.support.scheduling import JERUSALEM, add_template, at, set_hours

PRICE = 30000
TRIALS = 4


def prepaid(world: World) -> UUID:
    """A template of the coach that is booked by paying, with hours to book in."""
    set_hours(world.owner, world.coach, JERUSALEM, "09:00", "17:00")
    return add_template(world.owner, world.coach, booking_mode="prepaid", default_price_cents=PRICE)


@pytest.fixture
def offer(world: World) -> UUID:
    return prepaid(world)


def hold(world: World, offer: UUID, start: datetime, client: UUID | None = None) -> UUID:
    with world.as_user(client or world.client) as conn:
        return one(conn, "select public.hold_slot(%s, %s) as v", offer, start)


def begin(world: World, held: UUID, client: UUID | None = None) -> UUID:
    """The intent of a hold, known to the gateway."""
    with world.as_user(client or world.client) as conn:
        intent = one(conn, "select public.begin_hold_payment(%s) as v", held)
    with world.serving() as conn:
        conn.execute("select public.record_intent_sent(%s, %s, 'secret', 'x')", [intent, f"pi_{intent}"])
    return intent


def expire(world: World, held: UUID, ago: str = "1 second") -> None:
    past = "now() - %s::interval"
    world.owner.execute(f"update public.booking_requests set expires_at = {past} where id = %s", [ago, held])
    world.owner.execute(
        f"update public.coach_blocks set expires_at = {past} where id ="
        " (select block_id from public.booking_requests where id = %s)", [ago, held],
    )  # fmt: skip


def told(world: World, person: UUID) -> set[str]:
    rows = world.owner.execute("select data ->> 'kind' as v from public.notifications where user_id = %s", [person])
    return {row["v"] for row in rows}


def state(world: World, held: UUID) -> dict[str, Any]:
    """How everything that hangs on a hold stands."""
    return world.row(
        "select r.status as hold, s.status::text as session, a.billing_status::text as seat, v.status::text as invoice,"
        " v.amount_paid_cents as paid,"
        " (select coalesce(sum(f.amount_cents), 0)::int from public.payment_refunds f"
        "  join public.payments p on p.id = f.payment_id"
        "  join public.payment_intents i on i.id = p.intent_id where i.booking_request_id = r.id) as back"
        " from public.booking_requests r left join public.sessions s on s.id = r.session_id"
        " left join public.session_attendees a on a.session_id = s.id and a.role = 'client'"
        " left join public.invoice_line_items l on l.attendee_id = a.id and l.released_at is null"
        " left join public.invoices v on v.id = l.invoice_id where r.id = %s", held,
    )  # fmt: skip


SEATED = {"hold": "booked", "session": "scheduled", "seat": "paid", "invoice": "paid", "paid": PRICE, "back": 0}
LOST = {"hold": "lost", "session": None, "seat": None, "invoice": None, "paid": None, "back": PRICE}


def test_a_payment_makes_the_session_its_invoice_and_a_paid_seat_once(world: World, offer: UUID) -> None:
    talk = world.row(
        "insert into public.conversations (type, created_by, direct_key) values ('direct', %s,"
        " private.pair_key(%s, %s)) returning id",
        world.coach,
        world.coach,
        world.client,
    )["id"]
    held = hold(world, offer, at(4))
    intent = begin(world, held)
    assert begin(world, held) == intent
    said = succeeded(PRICE)
    assert [world.outcome(intent, said) for _ in range(2)] == ["applied", "unchanged"]
    assert state(world, held) == SEATED
    # Said once more by the charge itself, as when an event was missed.
    assert world.outcome(intent, said, looked_up=True) == "unchanged"
    paid = world.row("select * from public.payments where intent_id = %s", intent)
    named = world.row("select invoice_id, status::text from public.payment_intents where id = %s", intent)
    assert (paid["invoice_id"], paid["allocated_cents"]) == (named["invoice_id"], PRICE)
    assert "hold_booked" in told(world, world.client)
    assert {"session_booked", "payment_received"} <= told(world, world.coach)
    said_there = "select metadata ->> 'kind' as kind, sender_id from public.messages where conversation_id = %s"
    assert {(row["kind"], row["sender_id"]) for row in world.owner.execute(said_there, [talk])} == {
        ("session_booked", world.client), ("payment_received", world.client),
    }  # fmt: skip
    invited = (
        "select count(*) as v from jobs.procrastinate_jobs where task_name = 'calendars.send_invitation' and args ->>"
        " 'attendee_id' = (select a.id::text from public.session_attendees a join public.booking_requests r"
        " on r.session_id = a.session_id where r.id = %s and a.role = 'client')"
    )
    assert one(world.owner, invited, held) == 1
    assert differences(world) == []


def test_tax_on_top_is_paid_with_the_price(world: World, offer: UUID) -> None:
    world.owner.execute("update public.practices set tax_rate_bp = 1800 where id = %s", [world.practice])
    held = hold(world, offer, at(4))
    intent = begin(world, held)
    assert one(world.owner, "select amount_cents as v from public.payment_intents where id = %s", intent) == 35400
    world.outcome(intent, succeeded(35400))
    assert state(world, held) == SEATED | {"paid": 35400}


def test_paid_after_it_ran_out_gets_the_time_while_it_is_free(world: World, offer: UUID) -> None:
    held = hold(world, offer, at(4))
    intent = begin(world, held)
    expire(world, held)
    world.outcome(intent, succeeded(PRICE))
    assert state(world, held) == SEATED


def test_paid_after_somebody_else_has_the_time_goes_back_and_both_are_told(world: World, offer: UUID) -> None:
    other = person(world.owner, "client")
    held = hold(world, offer, at(4))
    intent = begin(world, held)
    expire(world, held)
    theirs = hold(world, offer, at(4), other)
    said = succeeded(PRICE)
    assert [world.outcome(intent, said) for _ in range(2)] == ["applied", "unchanged"]
    assert state(world, held) == LOST
    refund = world.row(
        "select r.* from public.payment_refunds r join public.payments p on p.id = r.payment_id where p.intent_id = %s",
        intent,
    )
    assert (refund["status"], refund["next_check_at"] is not None) == ("pending", True)
    queued = (
        "select count(*) as v from jobs.procrastinate_jobs where task_name = 'billing.send_refund'"
        " and args ->> 'refund_id' = %s"
    )
    assert one(world.owner, queued, str(refund["id"])) == 1
    assert "hold_lost" in told(world, world.client)
    assert "hold_refunded" in told(world, world.coach)
    world.outcome(begin(world, theirs, other), succeeded(PRICE))
    assert state(world, theirs) == SEATED
    assert differences(world) == []


def test_a_hold_that_was_given_up_is_paid_back(world: World, offer: UUID) -> None:
    held = hold(world, offer, at(4))
    intent = begin(world, held)
    with world.paying() as conn:
        conn.execute("select public.close_request(%s)", [held])
    world.outcome(intent, succeeded(PRICE))
    assert state(world, held) == LOST | {"hold": "withdrawn"}


def test_paid_twice_by_two_intents_is_given_back_once(world: World, offer: UUID) -> None:
    held = hold(world, offer, at(4))
    first = begin(world, held)
    with world.paying() as conn:
        conn.execute("select public.cancel_payment_intent(%s)", [first])
    second = begin(world, held)
    assert second != first
    world.outcome(second, succeeded(PRICE))
    # The page of the first was paid just before it closed.
    world.outcome(first, succeeded(PRICE))
    assert state(world, held) == SEATED | {"back": PRICE}
    assert differences(world) == []


def test_money_for_a_time_that_was_given_up_meanwhile_waits_as_credit(world: World, offer: UUID) -> None:
    held = hold(world, offer, at(4))
    intent = begin(world, held)
    with world.coaching() as conn:
        conn.execute("select public.accept_request(%s)", [held])
    session = one(world.owner, "select session_id as v from public.booking_requests where id = %s", held)
    with world.paying() as conn:
        conn.execute("select public.cancel_session(%s, 'ill')", [session])
    assert world.outcome(intent, succeeded(PRICE)) == "applied"
    payment = world.row("select status::text, allocated_cents from public.payments where intent_id = %s", intent)
    assert payment == {"status": "paid", "allocated_cents": 0}
    assert (state(world, held)["invoice"], state(world, held)["back"]) == (None, 0)
    assert differences(world) == []


def test_what_the_coach_took_as_paid_and_billed_is_not_paid_again(world: World, offer: UUID) -> None:
    held = hold(world, offer, at(4))
    intent = begin(world, held)
    with world.coaching() as conn:
        conn.execute("select public.accept_request(%s)", [held])
    # Nothing was billed yet, so the card's money is what pays the seat.
    world.outcome(intent, succeeded(PRICE))
    assert state(world, held) == SEATED


def test_money_for_a_seat_on_a_draft_waits_as_credit(world: World, offer: UUID) -> None:
    held = hold(world, offer, at(4))
    intent = begin(world, held)
    with world.coaching() as conn:
        conn.execute("select public.accept_request(%s)", [held])
    session = one(world.owner, "select session_id as v from public.booking_requests where id = %s", held)
    world.draft({"session_id": str(session)})
    world.outcome(intent, succeeded(PRICE))
    paid = world.row("select * from public.payments where intent_id = %s", intent)
    assert (paid["status"], paid["allocated_cents"], paid["refund_reserved_cents"]) == ("paid", 0, 0)


def test_less_than_the_price_books_and_leaves_the_rest_open(world: World, offer: UUID) -> None:
    held = hold(world, offer, at(4))
    intent = begin(world, held)
    world.outcome(intent, succeeded(20000))
    assert state(world, held) == SEATED | {"seat": "awaiting_payment", "invoice": "pending", "paid": 20000}


def test_a_sum_currency_or_reference_of_others_books_nothing(world: World, offer: UUID) -> None:
    held = hold(world, offer, at(4))
    intent = begin(world, held)
    for wrong in ({"currency": "USD"}, {"amount_cents": 1}, {"amount_received_cents": PRICE + 1}, {"reference": "x"}):
        assert world.outcome(intent, succeeded(PRICE) | wrong) == "incident"
    assert state(world, held)["hold"] == "pending"


def test_money_pays_the_seat_and_a_credit_stays(world: World, offer: UUID) -> None:
    with world.coaching() as conn:
        given = one(conn, "select public.give_credits(%s, %s, 2, 'A gift.') as v", world.relation, offer)
    held = hold(world, offer, at(4))
    world.outcome(begin(world, held), succeeded(PRICE))
    assert state(world, held) == SEATED
    assert one(world.owner, "select balance as v from public.credits where id = %s", given) == 2


def test_who_may_pay_and_for_what(world: World, offer: UUID) -> None:
    held = hold(world, offer, at(4))
    for stranger in (person(world.owner, "client"), world.coach):
        with world.as_user(stranger) as conn, pytest.raises(psycopg.Error) as refused:
            conn.execute("select public.begin_hold_payment(%s)", [held])
        assert code_of(refused) == "not_found"
    expire(world, held)
    with world.paying() as conn, pytest.raises(psycopg.Error) as refused:
        conn.execute("select public.begin_hold_payment(%s)", [held])
    assert code_of(refused) == "hold_expired"
    free = add_template(world.owner, world.coach, booking_mode="instant", default_price_cents=0)
    given = hold(world, free, at(5))
    with world.paying() as conn, pytest.raises(psycopg.Error) as refused:
        conn.execute("select public.begin_hold_payment(%s)", [given])
    assert code_of(refused) == "nothing_to_pay"


def test_no_attempt_begins_once_the_hold_is_over(world: World, offer: UUID) -> None:
    held = hold(world, offer, at(4))
    intent = begin(world, held)
    expire(world, held)
    with world.paying() as conn, pytest.raises(psycopg.Error) as refused:
        conn.execute("select public.begin_payment_attempt(%s)", [intent])
    assert code_of(refused) == "hold_expired"


def test_pages_of_holds_that_are_over_are_closed_and_others_are_not(world: World, offer: UUID) -> None:
    lately, long_ago, open_still = (hold(world, offer, at(4, hour)) for hour in (9, 11, 13))
    intents = [begin(world, held) for held in (lately, long_ago, open_still)]
    expire(world, lately)
    expire(world, long_ago, "61 minutes")
    with world.serving() as conn:
        conn.execute("select public.take_due_checks()")
    rows = [
        one(world.owner, "select status::text as v from public.payment_intents where id = %s", each) for each in intents
    ]
    assert rows == ["requires_payment_method", "canceled", "requires_payment_method"]


# races


def test_two_payments_for_one_time_give_it_to_one_and_the_other_money_back(world: World, offer: UUID) -> None:
    other = person(world.owner, "client")
    for trial in range(TRIALS):
        start = at(4 + trial)
        mine = hold(world, offer, start)
        my_intent = begin(world, mine)
        expire(world, mine)
        theirs = hold(world, offer, start, other)
        their_intent = begin(world, theirs, other)
        expire(world, theirs)
        apply = [my_intent, their_intent] * 2
        said = {intent: succeeded(PRICE) for intent in (my_intent, their_intent)}

        def act(index: int, apply: list[UUID] = apply, said: dict[UUID, Any] = said) -> Any:
            return again(lambda: world.outcome(apply[index], said[apply[index]]))

        assert sorted(str(each) for each in at_once(4, act)) == ["applied", "applied", "unchanged", "unchanged"]
        ends = [state(world, mine), state(world, theirs)]
        assert sorted(ends, key=lambda end: str(end["hold"])) == [SEATED, LOST]
    assert differences(world) == []


def test_a_payment_against_giving_up_and_against_another_booking_ends_one_way(world: World, offer: UUID) -> None:
    other = person(world.owner, "client")
    instant = add_template(world.owner, world.coach)
    for trial in range(TRIALS):
        start = at(4 + trial)
        held = hold(world, offer, start)
        intent = begin(world, held)
        expire(world, held)
        said = succeeded(PRICE)

        def act(index: int, held: UUID = held, intent: UUID = intent, said: Any = said, start: datetime = start) -> Any:
            if index == 0:
                return again(lambda: world.outcome(intent, said))
            with world.as_user(world.client if index == 1 else other) as conn:
                call = "public.close_request(%s)" if index == 1 else "public.book_session(%s, %s)"
                return one(conn, f"select {call} as v", *([held] if index == 1 else [instant, start]))

        at_once(3, act)
        end = state(world, held)
        assert end in (SEATED, LOST, LOST | {"hold": "withdrawn"})
        taken = "select count(*) as v from public.sessions where coach_id = %s and scheduled_at = %s"
        assert one(world.owner, taken, world.coach, start) <= 1
    assert differences(world) == []


def again(work: Any) -> Any:
    """As the application does: whoever loses a deadlock or a lock tries once more."""
    for _ in range(3):
        try:
            return work()
        except (psycopg.errors.DeadlockDetected, psycopg.errors.LockNotAvailable):
            continue
    return work()


def test_money_is_never_taken_back_without_a_row_that_says_so(world: World, offer: UUID) -> None:
    """The refund's row is written with the payment: without it, nothing is booked either."""
    other = person(world.owner, "client")
    held = hold(world, offer, at(4))
    intent = begin(world, held)
    expire(world, held)
    hold(world, offer, at(4), other)
    world.owner.execute("alter function public.request_refund(uuid, integer, text, text) rename to request_refund_away")
    try:
        with pytest.raises(psycopg.Error):
            world.outcome(intent, succeeded(PRICE))
    finally:
        world.owner.execute(
            "alter function public.request_refund_away(uuid, integer, text, text) rename to request_refund"
        )
    assert one(world.owner, "select count(*) as v from public.payments where intent_id = %s", intent) == 0
    world.outcome(intent, json.loads(json.dumps(succeeded(PRICE))))
    assert state(world, held) == LOST
