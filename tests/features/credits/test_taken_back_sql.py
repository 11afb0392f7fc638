"""A package whose sale is taken back: what is left of it goes, and so does what was spent on sessions still ahead."""

from __future__ import annotations

from uuid import UUID

from tests.features.billing.overtaking import client, coach, overtaken
from tests.features.billing.world import World, one, succeeded
from tests.features.credits.cards import begin, book, ledger, left, package, policy, sell, template
from tests.features.credits.test_credits_sql import ALL, FORFEIT, act, books, cancel, disagreements


def paid(world: World, offer: UUID, sessions: int = 2) -> tuple[UUID, UUID, UUID]:
    """A package that was paid for in cash: its invoice, its credits and the payment."""
    draft, credit = sell(world, package(world, offer, sessions=sessions, price_cents=30000))
    world.finalize(draft)
    payment = act(world, world.coach, "select public.record_manual_payment(%s, 30000, 'cash') as v", draft)
    return draft, credit, payment


def refund(world: World, payment: UUID) -> UUID:
    return act(world, world.coach, "select public.request_refund(%s, null, 'moves away') as v", payment)


def balances(world: World) -> dict[str, int]:
    """What stands in the books of the practice, by account."""
    rows = world.owner.execute(
        "select e.account, sum(e.amount_cents)::bigint as amount from public.journal_transactions t"
        " join public.journal_entries e on e.transaction_id = t.id where t.practice_id = %s"
        " group by e.account having sum(e.amount_cents) <> 0",
        [world.practice],
    ).fetchall()
    return {row["account"]: row["amount"] for row in rows}


def test_a_sale_that_is_taken_back_takes_what_is_left_and_what_is_still_ahead(world: World) -> None:
    offer = template(world)
    draft, credit = sell(world, package(world, offer, granted_at="issue"))
    world.finalize(draft)
    began, past = book(world, offer)
    _, ahead = book(world, offer, hour=12)
    begin(world, began)
    act(world, world.coach, "select public.void_invoice(%s)::text as v", draft)
    assert sorted(ledger(world, credit)) == sorted(
        [(3, "granted"), (-1, "spent"), (-1, "spent"), (1, "returned"), (-1, "withdrawn"), (-1, "withdrawn")]
    )
    assert (left(world, credit), world.seat_status(past), world.seat_status(ahead)) == (0, "paid", "unbilled")
    world.draft({"attendee_id": ahead})
    assert disagreements(world) == []


def test_a_package_whose_money_went_back_gives_no_session_any_more(world: World) -> None:
    offer = template(world)
    policy(world, offer, ALL)
    draft, credit, payment = paid(world, offer)
    began, past = book(world, offer)
    ahead, seat = book(world, offer, hour=12)
    begin(world, began)
    refund(world, payment)
    assert (left(world, credit), world.seat_status(past), world.seat_status(seat)) == (0, "paid", "unbilled")
    cancel(world, ahead)
    _, anew = book(world, offer, hour=14)
    assert (left(world, credit), world.seat_status(anew)) == (0, "unbilled")
    assert books(world, credit) == {}
    act(world, world.coach, "select public.credit_invoice(%s, null, 'moves away') as v", draft)
    assert balances(world) == {}
    assert disagreements(world) == []


def test_a_credit_that_comes_back_after_the_money_went_is_withdrawn_at_once(world: World) -> None:
    offer = template(world)
    policy(world, offer, FORFEIT)
    _, credit, payment = paid(world, offer, 1)
    session, seat = book(world, offer)
    world.owner.execute("update public.sessions set scheduled_at = now() + interval '2 hours' where id = %s", [session])
    cancel(world, session)
    refund(world, payment)
    # A seat that was given up too late is used up like one that was held.
    assert (ledger(world, credit), world.seat_status(seat)) == ([(1, "granted"), (-1, "spent")], "paid")
    outcome = one(world.owner, "select id as v from public.seat_outcomes where session_id = %s", session)
    act(world, world.coach, "select public.waive_outcome(%s) as v", outcome)
    assert sorted(ledger(world, credit)) == [(-1, "spent"), (-1, "withdrawn"), (1, "granted"), (1, "returned")]
    assert (left(world, credit), world.seat_status(seat), books(world, credit)) == (0, "unbilled", {})
    assert disagreements(world) == []


def test_a_refund_that_failed_after_all_pays_the_seats_ahead_again(world: World) -> None:
    offer = template(world)
    draft, credit = sell(world, package(world, offer))
    world.finalize(draft)
    intent = world.intent(draft)
    with world.paying() as conn:
        payment = one(conn, "select public.begin_payment_attempt(%s) as v", intent)
    world.outcome(intent, succeeded(90000))
    _, seat = book(world, offer)
    _, given_up = book(world, offer, hour=12)
    back = refund(world, payment)
    move = "update public.payment_refunds set status = %s where id = %s"
    world.owner.execute(move, ["succeeded", back])
    assert (left(world, credit), world.seat_status(seat)) == (0, "unbilled")
    world.owner.execute("update public.session_attendees set cancelled_at = now() where id = %s", [given_up])
    world.owner.execute(move, ["failed", back])
    assert (left(world, credit), world.seat_status(seat), world.seat_status(given_up)) == (2, "paid", "unbilled")
    assert disagreements(world) == []


def test_a_seat_that_is_given_up_while_the_money_goes_back_leaves_no_credit(world: World, api_url: str) -> None:
    offer = template(world)
    _, credit, payment = paid(world, offer)
    session, _ = book(world, offer)
    money = coach("public.request_refund(%s, null, 'x')", payment)
    leave = client("public.cancel_session(%s, 'ill')", session)
    overtaken(world, api_url, money, leave)
    assert (left(world, credit), books(world, credit), disagreements(world)) == (0, {}, [])


def test_money_that_goes_back_while_a_seat_is_given_up_takes_its_credit_too(world: World, api_url: str) -> None:
    offer = template(world)
    _, credit, payment = paid(world, offer)
    session, _ = book(world, offer)
    money = coach("public.request_refund(%s, null, 'x')", payment)
    leave = client("public.cancel_session(%s, 'ill')", session)
    overtaken(world, api_url, leave, money)
    assert (left(world, credit), books(world, credit), disagreements(world)) == (0, {}, [])
