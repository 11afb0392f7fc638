"""Credits straight in SQL: sold, spent, given back, moved, ended; and that the ledger is all there is to them."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID

import psycopg
import pytest

from tests.features.billing.world import World, code_of, one, person, relate
from tests.features.credits.cards import begin, book, give, ledger, left, package, policy, sell, template

FORFEIT = '[{"hours": 24, "forfeit": true}]'
HALF = '[{"hours": 24, "percent": 50}]'
ALL = '[{"hours": 24, "percent": 100}]'


def act(world: World, who: UUID, query: Any, *params: object) -> Any:
    with world.as_user(who) as conn:
        return one(conn, query, *params)


def cancel(world: World, session: UUID, who: UUID | None = None) -> None:
    act(world, who or world.client, "select public.cancel_session(%s, 'ill') as v", session)


def test_a_package_is_there_once_it_is_paid(world: World) -> None:
    draft, credit = sell(world, package(world, template(world)))
    assert left(world, credit) == 0
    world.finalize(draft)
    assert left(world, credit) == 0
    act(world, world.coach, "select public.record_manual_payment(%s, 90000, 'cash') as v", draft)
    assert ledger(world, credit) == [(3, "granted")]


def test_a_package_may_be_there_as_soon_as_it_is_issued(world: World) -> None:
    draft, credit = sell(world, package(world, template(world), granted_at="issue", valid_days=30))
    world.finalize(draft)
    row = world.row("select balance, expires_at - granted_on as lasts from public.credits where id = %s", credit)
    assert row == {"balance": 3, "lasts": timedelta(days=30)}
    act(world, world.coach, "select public.record_manual_payment(%s, 90000, 'cash') as v", draft)
    assert ledger(world, credit) == [(3, "granted")]


def test_a_draft_that_is_thrown_away_takes_its_empty_credits_along(world: World) -> None:
    draft, credit = sell(world, package(world, template(world)))
    act(world, world.coach, "select public.delete_draft_invoice(%s)::text as v", draft)
    assert one(world.owner, "select count(*) as v from public.credits where id = %s", credit) == 0


def test_a_seat_takes_a_credit_when_it_is_booked_and_is_paid_with_it(world: World) -> None:
    offer = template(world)
    credit = give(world, offer, 1)
    session, seat = book(world, offer)
    assert (left(world, credit), world.seat_status(seat)) == (0, "paid")
    assert one(world.owner, "select billing_status as v from public.sessions where id = %s", session) == "paid"
    _, next_seat = book(world, offer, hour=11)
    assert (left(world, credit), world.seat_status(next_seat)) == (0, "unbilled")


def test_a_seat_takes_a_credit_when_its_person_came(world: World) -> None:
    offer = template(world)
    credit = give(world, offer, 2, spent_at="attendance")
    session, seat = book(world, offer)
    assert left(world, credit) == 2
    begin(world, session)
    act(world, world.coach, "select public.complete_session(%s) as v", session)
    assert (ledger(world, credit), world.seat_status(seat)) == ([(2, "granted"), (-1, "spent")], "paid")


@pytest.mark.parametrize(
    ("tiers", "hours", "kept"),
    [
        (FORFEIT, 48, False),
        (FORFEIT, 2, True),
        (ALL, 2, True),
        (HALF, 2, False),
        ("[]", 2, False),
    ],
)
def test_a_credit_comes_back_as_the_terms_of_the_seat_say(world: World, tiers: str, hours: int, kept: bool) -> None:
    offer = template(world)
    policy(world, offer, tiers)
    credit = give(world, offer, 1)
    session, seat = book(world, offer)
    world.owner.execute(
        "update public.sessions set scheduled_at = now() + make_interval(hours => %s) where id = %s", [hours, session]
    )
    cancel(world, session)
    assert left(world, credit) == (0 if kept else 1)
    assert world.seat_status(seat) == ("paid" if kept else "unbilled")


def test_a_credit_always_comes_back_from_a_coach_who_cancels(world: World) -> None:
    offer = template(world)
    policy(world, offer, '[{"hours": 8760, "forfeit": true}]')
    credit = give(world, offer, 1)
    session, _ = book(world, offer)
    cancel(world, session, world.coach)
    assert ledger(world, credit) == [(1, "granted"), (-1, "spent"), (1, "returned")]


def test_letting_somebody_off_gives_the_credit_back_once(world: World) -> None:
    offer = template(world)
    policy(world, offer, '[{"hours": 8760, "forfeit": true}]')
    credit = give(world, offer, 1)
    session, _ = book(world, offer)
    cancel(world, session)
    assert left(world, credit) == 0
    outcome = one(world.owner, "select id as v from public.seat_outcomes where session_id = %s", session)
    for _ in range(2):
        act(world, world.coach, "select public.waive_outcome(%s) as v", outcome)
    assert ledger(world, credit) == [(1, "granted"), (-1, "spent"), (1, "returned")]


@pytest.mark.parametrize(("tiers", "kept"), [(FORFEIT, True), ("[]", False)])
def test_a_missed_session_spends_what_the_terms_say(world: World, tiers: str, kept: bool) -> None:
    offer = template(world)
    policy(world, offer, tiers)
    for spent_at in ("booking", "attendance"):
        credit = give(world, offer, 1, spent_at=spent_at)
        session, _ = book(world, offer)
        begin(world, session)
        act(world, world.coach, "select public.mark_no_show(%s) as v", session)
        assert left(world, credit) == (0 if kept else 1)
        world.owner.execute("update public.credits set expires_at = now() where id = %s", [credit])


def test_what_ends_first_is_spent_first_and_what_ends_before_the_session_is_not(world: World) -> None:
    offer = template(world)
    now = datetime.now(UTC)
    never = give(world, offer, 1)
    late = give(world, offer, 1, expires_at=now + timedelta(days=60))
    early = give(world, offer, 1, expires_at=now + timedelta(days=2))
    book(world, offer)
    assert [left(world, credit) for credit in (early, late, never)] == [1, 0, 1]
    book(world, offer, days=12)
    assert [left(world, credit) for credit in (early, late, never)] == [1, 0, 0]


def test_credits_are_good_for_their_template_and_client_alone(world: World) -> None:
    offer, other = template(world), template(world)
    credit = give(world, offer, 5)
    _, seat = book(world, other)
    somebody = person(world.owner, "client")
    relate(world.owner, world.coach, somebody)
    session = one(
        world.owner,
        "insert into public.sessions (coach_id, client_id, title, scheduled_at, template_id, duration_minutes)"
        " values (%s, %s, 'x', now() + interval '20 days', %s, 60) returning id as v",
        world.coach,
        somebody,
        offer,
    )
    assert left(world, credit) == 5
    assert world.seat_status(seat) == "unbilled"
    assert one(world.owner, "select billing_status as v from public.sessions where id = %s", session) == "unbilled"


def test_an_imported_session_spends_nothing(world: World) -> None:
    offer = template(world)
    credit = give(world, offer, 5)
    world.owner.execute(
        "insert into public.sessions (coach_id, client_id, title, scheduled_at, template_id, duration_minutes, status)"
        " values (%s, %s, 'x', now() - interval '20 days', %s, 60, 'completed')",
        [world.coach, world.client, offer],
    )
    assert left(world, credit) == 5


def test_a_seat_booked_before_is_paid_by_hand_once(world: World) -> None:
    offer = template(world)
    _, seat = book(world, offer)
    with pytest.raises(psycopg.Error) as refused:
        act(world, world.coach, "select public.spend_credit(%s) as v", seat)
    assert code_of(refused) == "no_credit"
    credit = give(world, offer, 3)
    for _ in range(2):
        assert act(world, world.coach, "select public.spend_credit(%s) as v", seat) == credit
    assert left(world, credit) == 2
    for who in (world.client, person(world.owner, "coach")):
        with pytest.raises(psycopg.Error) as refused:
            act(world, who, "select public.spend_credit(%s) as v", seat)
        assert code_of(refused) == "not_found"


def test_a_seat_on_an_invoice_takes_no_credit_and_one_with_a_credit_no_invoice(world: World) -> None:
    offer = template(world)
    _, billed = book(world, offer)
    world.draft({"attendee_id": billed})
    credit = give(world, offer, 3)
    with pytest.raises(psycopg.Error) as refused:
        act(world, world.coach, "select public.spend_credit(%s) as v", billed)
    assert code_of(refused) == "no_credit"
    _, spent = book(world, offer, hour=12)
    with pytest.raises(psycopg.Error) as refused:
        world.draft({"attendee_id": spent})
    assert code_of(refused) == "seat_already_billed"
    assert left(world, credit) == 2


def test_credits_are_moved_by_hand_with_a_reason_and_never_below_zero(world: World) -> None:
    credit = give(world, template(world), 2)
    move = "select public.move_credits(%s, %s, %s) as v"
    assert act(world, world.coach, move, credit, 3, "a bonus") == 5
    assert act(world, world.coach, move, credit, -5, "an error") == 0
    for change, reason, code in (
        (-1, "x", "credits_used_up"),
        (0, "x", "credits_out_of_range"),
        (1001, "x", "credits_out_of_range"),
        (-(2**31), "x", "credits_out_of_range"),
        (None, "x", "credits_out_of_range"),
        (1, " ", "reason_needed"),
    ):
        with pytest.raises(psycopg.Error) as refused:
            act(world, world.coach, move, credit, change, reason)
        assert code_of(refused) == code
    for who in (world.client, person(world.owner, "coach")):
        with pytest.raises(psycopg.Error) as refused:
            act(world, who, move, credit, 1, "x")
        assert code_of(refused) == "not_found"
    assert ledger(world, credit) == [(2, "granted"), (3, "moved"), (-5, "moved")]


@pytest.mark.parametrize("sessions", [1, 2])
def test_what_is_left_is_said_of_one_and_of_many(world: World, sessions: int) -> None:
    credit = give(world, template(world), sessions)
    with pytest.raises(psycopg.Error, match=f"At most {sessions} can be taken off: no more is left."):
        act(world, world.coach, "select public.move_credits(%s, -3, 'x') as v", credit)


def test_the_ledger_is_append_only_for_the_owner_too(world: World) -> None:
    credit = give(world, template(world), 2)
    for statement in (
        "update public.credit_entries set change = 5 where credit_id = %s",
        "delete from public.credit_entries where credit_id = %s",
    ):
        with pytest.raises(psycopg.Error) as refused:
            world.owner.execute(statement, [credit])
        assert code_of(refused) == "credits_append_only"
    assert one(
        world.owner,
        "select bool_and(k.balance = (select coalesce(sum(e.change), 0) from public.credit_entries e"
        " where e.credit_id = k.id)) as v from public.credits k",
    )


def test_what_is_over_ends_a_week_later(world: World) -> None:
    offer = template(world)
    over, fresh = give(world, offer, 4), give(world, offer, 4)
    world.owner.execute("update public.credits set expires_at = now() - interval '8 days' where id = %s", [over])
    world.owner.execute("update public.credits set expires_at = now() - interval '6 days' where id = %s", [fresh])
    for _ in range(2):
        with world.serving() as conn:
            conn.execute("select private.expire_credits()")
    assert ledger(world, over) == [(4, "granted"), (-4, "expired")]
    assert left(world, fresh) == 4


def test_the_end_of_credits_is_moved_by_whoever_sold_them(world: World) -> None:
    credit = give(world, template(world), 4)
    extend = "select public.extend_credits(%s, %s)::text as v"
    act(world, world.coach, extend, credit, datetime.now(UTC) + timedelta(days=3))
    act(world, world.coach, extend, credit, None)
    for at in (datetime.now(UTC) - timedelta(days=1), "infinity"):
        with pytest.raises(psycopg.Error) as refused:
            act(world, world.coach, extend, credit, at)
        assert code_of(refused) == "credits_expired"
    with pytest.raises(psycopg.Error) as refused:
        act(world, world.client, extend, credit, None)
    assert code_of(refused) == "not_found"


def test_a_package_is_of_ones_own_template_and_sold_on_ones_own_draft(world: World) -> None:
    other_coach = person(world.owner, "coach")
    theirs = one(
        world.owner,
        "insert into public.session_templates (coach_id, title, default_duration_minutes) values (%s, 'x', 60)"
        " returning id as v",
        other_coach,
    )
    with pytest.raises(psycopg.Error) as refused:
        package(world, theirs)
    assert code_of(refused) == "not_found"
    mine = package(world, template(world))
    draft = world.draft()
    for who in (other_coach, world.client):
        with pytest.raises(psycopg.Error) as refused:
            act(world, who, "select public.sell_package(%s, %s) as v", draft, mine)
        assert code_of(refused) == "not_found"
    dollars = world.draft(currency="USD")
    with pytest.raises(psycopg.Error) as refused:
        act(world, world.coach, "select public.sell_package(%s, %s) as v", dollars, mine)
    assert code_of(refused) == "currency_mismatch"
    world.owner.execute("update public.packages set is_active = false where id = %s", [mine])
    with pytest.raises(psycopg.Error) as refused:
        act(world, world.coach, "select public.sell_package(%s, %s) as v", draft, mine)
    assert code_of(refused) == "not_found"


def books(world: World, credit: UUID) -> dict[str, int]:
    rows = world.owner.execute(
        "select e.account, sum(e.amount_cents)::bigint as amount from public.journal_transactions t"
        " join public.journal_entries e on e.transaction_id = t.id where t.subject = 'credit' and t.subject_id = %s"
        " group by e.account having sum(e.amount_cents) <> 0",
        [credit],
    ).fetchall()
    return {row["account"]: row["amount"] for row in rows}


def test_what_was_sold_is_earned_as_it_is_used(world: World) -> None:
    offer = template(world)
    draft, credit = sell(world, package(world, offer, price_cents=100000))
    assert books(world, credit) == {}
    world.finalize(draft)
    assert books(world, credit) == {"credits": -100000, "revenue": 100000}
    act(world, world.coach, "select public.record_manual_payment(%s, 100000, 'cash') as v", draft)
    assert books(world, credit) == {"credits": -100000, "revenue": 100000}
    session, _ = book(world, offer)
    assert books(world, credit) == {"credits": -66667, "revenue": 66667}
    book(world, offer, hour=12)
    assert books(world, credit) == {"credits": -33333, "revenue": 33333}
    cancel(world, session)
    assert books(world, credit) == {"credits": -66667, "revenue": 66667}
    act(world, world.coach, "select public.move_credits(%s, 5, 'a bonus') as v", credit)
    assert books(world, credit) == {"credits": -100000, "revenue": 100000}
    act(world, world.coach, "select public.move_credits(%s, -7, 'moved away') as v", credit)
    assert books(world, credit) == {}


def test_the_tax_in_a_price_is_not_the_clients_credit(world: World) -> None:
    world.owner.execute(
        "update public.practices set prices_include_tax = true, tax_rate_bp = 1800 where id = %s", [world.practice]
    )
    draft, credit = sell(world, package(world, template(world), granted_at="issue", price_cents=118000))
    world.finalize(draft)
    assert books(world, credit) == {"credits": -100000, "revenue": 100000}
    act(world, world.coach, "select public.void_invoice(%s)::text as v", draft)
    assert (left(world, credit), books(world, credit)) == (0, {})


def test_gifts_stand_in_no_books(world: World) -> None:
    assert books(world, give(world, template(world), 3)) == {}


def disagreements(world: World) -> list[str]:
    with world.serving() as conn:
        rows = conn.execute(
            "select check_name from private.verify_billing(%s) where check_name like '%%credit%%' order by 1",
            [world.practice],
        ).fetchall()
    return [row["check_name"] for row in rows]


def test_verifying_the_books_looks_at_credits_too(world: World) -> None:
    offer = template(world)
    draft, credit = sell(world, package(world, offer, granted_at="issue"))
    world.finalize(draft)
    _, seat = book(world, offer)
    assert disagreements(world) == []
    world.owner.execute("update public.credits set balance = balance + 1 where id = %s", [credit])
    assert disagreements(world) == ["balance_of_credits", "credit_in_journal"]
    world.owner.execute("update public.credits set balance = balance - 1 where id = %s", [credit])
    world.owner.execute("update public.session_attendees set billing_status = 'unbilled' where id = %s", [seat])
    assert disagreements(world) == ["seat_paid_by_credit"]
    world.owner.execute("update public.session_attendees set billing_status = 'paid' where id = %s", [seat])
    assert disagreements(world) == []
