"""The states of a session, its history, what money fixes, and what API roles cannot write."""

from __future__ import annotations

import contextlib
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID

import psycopg
import pytest
from psycopg.rows import DictRow

from tests.support.acting import AsUser
from tests.support.scheduling import Scene, add_session, at, make_scene, one, refusal

Owner = psycopg.Connection[DictRow]

STATES = ["scheduled", "in_progress", "completed", "cancelled", "rescheduled", "no_show"]
MOVES = {
    ("scheduled", "in_progress"),
    ("scheduled", "completed"),
    ("scheduled", "cancelled"),
    ("scheduled", "no_show"),
    ("in_progress", "completed"),
    ("in_progress", "cancelled"),
    ("in_progress", "no_show"),
}


@pytest.fixture
def scene(owner: Owner) -> Scene:
    return make_scene(owner)


@pytest.mark.parametrize("old", STATES)
@pytest.mark.parametrize("new", STATES)
def test_a_session_moves_only_along_its_states_whoever_moves_it(owner: Owner, scene: Scene, old: str, new: str) -> None:
    session = add_session(owner, scene.coach, scene.client, at(-2), status=old)
    update = "update public.sessions set status = %s where id = %s"
    if old == new or (old, new) in MOVES:
        owner.execute(update, [new, session])
        moves = one(
            owner, "select count(*) from public.session_events where session_id = %s and kind <> 'created'", [session]
        )
        assert moves == (old != new)
        return
    with pytest.raises(psycopg.Error) as refused:
        owner.execute(update, [new, session])
    assert refusal(refused.value) == (409, "session_state_conflict")


DAY_AHEAD, SOON, GONE = timedelta(days=1), timedelta(minutes=50), timedelta(minutes=-10)
COACH_MAY = {
    ("scheduled", "in_progress"): {SOON, GONE},
    ("scheduled", "completed"): {GONE},
    ("scheduled", "no_show"): {GONE},
    ("scheduled", "cancelled"): {DAY_AHEAD, SOON, GONE},
    ("in_progress", "completed"): {DAY_AHEAD, SOON, GONE},
    ("in_progress", "no_show"): {GONE},
    ("in_progress", "cancelled"): {DAY_AHEAD, SOON, GONE},
}
CLIENT_MAY = {("scheduled", "cancelled"): {DAY_AHEAD, SOON}}
FUNCTIONS = {
    "in_progress": "start_session",
    "completed": "complete_session",
    "no_show": "mark_no_show",
    "cancelled": "cancel_session",
}


@pytest.mark.parametrize(("who", "may"), [("coach", COACH_MAY), ("client", CLIENT_MAY)])
def test_who_makes_which_move_when(
    owner: Owner, as_user: AsUser, scene: Scene, who: str, may: dict[tuple[str, str], set[timedelta]]
) -> None:
    made: dict[tuple[str, str], set[timedelta]] = {}
    for old, new in MOVES:
        for ahead in (DAY_AHEAD, SOON, GONE):
            session = add_session(owner, scene.coach, scene.client, datetime.now(UTC) + ahead, status=old)
            # Refusals have tests of their own; here a move that was not made is one that was refused.
            with contextlib.suppress(psycopg.Error), as_user(getattr(scene, who)) as conn:
                one(conn, f"select public.{FUNCTIONS[new]}(%s)", [session])
            if one(owner, "select status from public.sessions where id = %s", [session]) == new:
                made.setdefault((old, new), set()).add(ahead)
            owner.execute("delete from public.sessions where id = %s", [session])
    assert made == may


def test_each_move_is_stamped_and_told_with_who_made_it(owner: Owner, as_user: AsUser, scene: Scene) -> None:
    session = add_session(owner, scene.coach, scene.client, datetime.now(UTC) + SOON)
    for function in ("start_session", "complete_session"):
        with as_user(scene.coach) as conn:
            one(conn, f"select public.{function}(%s)", [session])
    with as_user(scene.coach) as conn, pytest.raises(psycopg.Error) as over:
        one(conn, "select public.cancel_session(%s)", [session])
    assert refusal(over.value) == (409, "session_state_conflict")
    row = owner.execute("select * from public.sessions where id = %s", [session]).fetchone()
    assert row is not None
    assert row["status"] == "completed"
    assert row["started_at"] is not None
    assert row["completed_at"] is not None
    events = owner.execute(
        "select kind, actor_id, from_status, to_status from public.session_events where session_id"
        " = %s order by created_at",
        [session],
    ).fetchall()
    assert [(event["kind"], event["actor_id"]) for event in events] == [
        ("created", None),
        ("started", scene.coach),
        ("completed", scene.coach),
    ]


@pytest.mark.parametrize("function", ["start_session", "complete_session", "mark_no_show"])
@pytest.mark.parametrize("who", ["client", "second_client", "stranger", "other_coach"])
def test_only_the_coach_moves_a_session(owner: Owner, as_user: AsUser, scene: Scene, function: str, who: str) -> None:
    session = add_session(owner, scene.coach, scene.client, at(1))
    with as_user(getattr(scene, who)) as conn, pytest.raises(psycopg.Error) as refused:
        one(conn, f"select public.{function}(%s)", [session])
    assert refusal(refused.value) == (404, "not_found")


@pytest.mark.parametrize("function", ["complete_session", "mark_no_show"])
def test_what_has_not_started_is_neither_completed_nor_missed(
    owner: Owner, as_user: AsUser, scene: Scene, function: str
) -> None:
    session = add_session(owner, scene.coach, scene.client, at(1))
    with as_user(scene.coach) as conn, pytest.raises(psycopg.Error) as early:
        one(conn, f"select public.{function}(%s)", [session])
    assert refusal(early.value) == (409, "session_not_started")
    gone = add_session(owner, scene.coach, scene.client, at(-1))
    with as_user(scene.coach) as conn:
        one(conn, f"select public.{function}(%s)", [gone])


def test_a_cancelled_session_frees_its_time_and_says_why(owner: Owner, as_user: AsUser, scene: Scene) -> None:
    session = add_session(owner, scene.coach, scene.client, at(2))
    with as_user(scene.stranger) as conn, pytest.raises(psycopg.Error) as foreign:
        one(conn, "select public.cancel_session(%s)", [session])
    assert refusal(foreign.value) == (404, "not_found")
    with as_user(scene.client) as conn:
        one(conn, "select public.cancel_session(%s, 'ill')", [session])
    row = owner.execute("select * from public.sessions where id = %s", [session]).fetchone()
    assert row is not None
    assert (row["status"], row["cancelled_by"], row["cancellation_reason"]) == ("cancelled", scene.client, "ill")
    with as_user(scene.second_client) as conn:
        one(conn, "select public.book_session(%s, %s)", [scene.single, at(2)])


def test_an_attendee_gives_up_a_seat_but_does_not_cancel_the_group(owner: Owner, as_user: AsUser, scene: Scene) -> None:
    group = add_session(owner, scene.coach, None, at(2))
    seat = one(
        owner,
        "insert into public.session_attendees (session_id, user_id, role, status)"
        " values (%s, %s, 'client', 'confirmed') returning id",
        [group, scene.client],
    )
    with as_user(scene.client) as conn, pytest.raises(psycopg.Error) as whole:
        one(conn, "select public.cancel_session(%s)", [group])
    assert refusal(whole.value) == (404, "not_found")
    for params in ([None, seat], [group, seat], [None, None]):
        with as_user(scene.client) as conn, pytest.raises(psycopg.Error):
            one(conn, "select public.cancel_attendance(%s, %s)", params)
    owner.execute("update public.sessions set scheduled_at = now() - interval '1 minute' where id = %s", [group])
    with as_user(scene.client) as conn, pytest.raises(psycopg.Error) as begun:
        one(conn, "select public.cancel_attendance(%s)", [group])
    assert refusal(begun.value) == (409, "session_not_open")
    owner.execute("update public.sessions set scheduled_at = now() + interval '2 days' where id = %s", [group])
    with as_user(scene.client) as conn:
        assert one(conn, "select public.cancel_attendance(%s)", [group]) == seat
    assert one(owner, "select status from public.sessions where id = %s", [group]) == "scheduled"
    single = add_session(owner, scene.coach, scene.client, at(3))
    with as_user(scene.client) as conn, pytest.raises(psycopg.Error) as individual:
        one(conn, "select public.cancel_attendance(%s)", [single])
    assert refusal(individual.value) == (409, "seat_is_the_session")


def test_a_moved_session_keeps_its_row_and_tells_where_it_was(owner: Owner, as_user: AsUser, scene: Scene) -> None:
    with as_user(scene.client) as conn:
        session = one(conn, "select public.book_session(%s, %s)", [scene.single, at(2)])
    move = "select public.reschedule_session(%s, %s)"
    with as_user(scene.client) as conn, pytest.raises(psycopg.Error) as outside:
        one(conn, move, [session, at(2, 20)])
    assert refusal(outside.value) == (422, "slot_not_offered")
    with as_user(scene.client) as conn:
        assert one(conn, move, [session, at(3, 12)]) == session
    with as_user(scene.coach) as conn:
        assert one(conn, "select public.reschedule_session(%s, %s, 90)", [session, at(3, 12, 15)]) == session
    row = owner.execute("select * from public.sessions where id = %s", [session]).fetchone()
    assert row is not None
    assert (row["scheduled_at"], row["ends_at"], row["status"]) == (at(3, 12, 15), at(3, 13, 45), "scheduled")
    history = owner.execute(
        "select details #>> '{from,starts_at}' as was, actor_id from public.session_events"
        " where session_id = %s and kind = 'rescheduled' order by created_at",
        [session],
    ).fetchall()
    assert [event["actor_id"] for event in history] == [scene.client, scene.coach]
    assert history[0]["was"].startswith(at(2).isoformat()[:16])
    add_session(owner, scene.coach, scene.second_client, at(4))
    with as_user(scene.coach) as conn, pytest.raises(psycopg.Error) as taken:
        one(conn, move, [session, at(4, 10, 30)])
    assert refusal(taken.value) == (409, "slot_taken")
    with as_user(scene.coach) as conn, pytest.raises(psycopg.Error) as past:
        one(conn, move, [session, at(-1)])
    assert refusal(past.value) == (422, "session_in_past")


WRITES = [
    ("sessions", "price_cents = 0"),
    ("sessions", "currency = 'USD'"),
    ("sessions", "billing_status = 'paid'"),
    ("sessions", "invoice_id = null"),
    ("sessions", "template_id = null"),
    ("sessions", "coach_id = client_id"),
    ("sessions", "status = 'completed'"),
    ("sessions", "scheduled_at = now() + interval '9 days'"),
    ("sessions", "title = 'mine'"),
    ("session_attendees", "billing_status = 'paid'"),
    ("session_attendees", "price_cents = 0"),
    ("session_attendees", "status = 'checked_in'"),
    ("session_attendees", "cancelled_at = now()"),
    ("session_templates", "default_price_cents = 0"),
    ("coach_blocks", "during = during"),
    ("session_events", "kind = kind"),
]


@pytest.mark.parametrize(("table", "change"), WRITES)
def test_a_client_writes_nothing_directly(owner: Owner, as_user: AsUser, scene: Scene, table: str, change: str) -> None:
    add_session(owner, scene.coach, scene.client, at(2), template_id=scene.single)
    with as_user(scene.client) as conn, contextlib.suppress(psycopg.errors.InsufficientPrivilege):
        assert conn.execute(f"update public.{table} set {change}").rowcount == 0


@pytest.mark.parametrize(
    "change", ["billing_status = 'paid'", "invoice_id = null", "status = 'completed'", "coach_id = coach_id", "id = id"]
)
def test_not_even_the_coach_writes_billing_status_or_who_directly(
    owner: Owner, as_user: AsUser, scene: Scene, change: str
) -> None:
    add_session(owner, scene.coach, scene.client, at(2))
    with as_user(scene.coach) as conn, pytest.raises(psycopg.errors.InsufficientPrivilege):
        conn.execute(f"update public.sessions set {change}")


@pytest.mark.parametrize(
    "table", ["sessions", "session_attendees", "session_templates", "session_events", "coach_blocks"]
)
def test_nobody_signed_in_deletes_history_and_anon_sees_no_table(
    owner: Owner, as_user: AsUser, as_role: Any, scene: Scene, table: str
) -> None:
    add_session(owner, scene.coach, scene.client, at(2))
    with as_role("anon") as conn, pytest.raises(psycopg.errors.InsufficientPrivilege):
        conn.execute(f"select from public.{table}")
    for who in (scene.client, scene.coach):
        with as_user(who) as conn, contextlib.suppress(psycopg.errors.InsufficientPrivilege):
            assert conn.execute(f"delete from public.{table}").rowcount == 0
    assert one(owner, "select count(*) from public.coach_blocks where coach_id = %s", [scene.coach]) == 1


def test_a_coach_inserts_neither_for_another_coach_nor_for_people_who_are_no_clients(
    owner: Owner, as_user: AsUser, scene: Scene
) -> None:
    insert = "insert into public.sessions (coach_id, client_id, title, scheduled_at) values (%s, %s, 'x', %s)"
    with as_user(scene.coach) as conn, pytest.raises(psycopg.Error) as stranger:
        conn.execute(insert, [scene.coach, scene.stranger, at(2)])
    assert refusal(stranger.value) == (404, "not_found")
    for who, coach in ((scene.coach, scene.other_coach), (scene.client, scene.client), (scene.client, scene.coach)):
        with as_user(who) as conn, pytest.raises(psycopg.Error):
            conn.execute(insert, [coach, scene.client, at(2)])
    assert (
        one(owner, "select count(*) from public.sessions where coach_id in (%s, %s)", [scene.coach, scene.other_coach])
        == 0
    )


def test_a_price_reaches_the_seats_until_they_are_billed(owner: Owner, as_user: AsUser, scene: Scene) -> None:
    group = add_session(owner, scene.coach, None, at(2), price_cents=100)
    seat = "insert into public.session_attendees (session_id, user_id, role, price_cents) values (%s, %s, 'client', %s)"
    owner.execute(seat, [group, scene.client, None])
    owner.execute(seat, [group, scene.second_client, 50])

    def prices() -> list[int]:
        rows = owner.execute(
            "select price_cents from public.session_attendees where session_id = %s and role ="
            " 'client' order by created_at",
            [group],
        ).fetchall()
        return [row["price_cents"] for row in rows]

    assert prices() == [100, 50]
    with as_user(scene.coach) as conn:
        conn.execute("update public.sessions set price_cents = 120 where id = %s", [group])
    assert prices() == [120, 50]
    owner.execute(
        "update public.session_attendees set billing_status = 'awaiting_payment' where session_id"
        " = %s and user_id = %s",
        [group, scene.client],
    )
    with as_user(scene.coach) as conn:
        conn.execute("update public.sessions set price_cents = 200 where id = %s", [group])
    assert prices() == [120, 50]
    with as_user(scene.coach) as conn, pytest.raises(psycopg.Error) as billed:
        conn.execute("update public.session_attendees set price_cents = 1 where user_id = %s", [scene.client])
    assert refusal(billed.value) == (409, "seat_billed")
    with pytest.raises(psycopg.Error) as kept:
        owner.execute("delete from public.sessions where id = %s", [group])
    assert refusal(kept.value) == (409, "seat_billed")


def test_a_sessions_billing_status_is_its_least_settled_seat(owner: Owner, scene: Scene) -> None:
    group = add_session(owner, scene.coach, None, at(2), price_cents=100)
    insert = "insert into public.session_attendees (session_id, user_id, role) values (%s, %s, 'client') returning id"
    seats: list[UUID] = [
        one(owner, insert, [group, who]) for who in (scene.client, scene.second_client, scene.stranger)
    ]

    def after(place: int, status: str) -> str:
        owner.execute("update public.session_attendees set billing_status = %s where id = %s", [status, seats[place]])
        return one(owner, "select billing_status from public.sessions where id = %s", [group])

    assert after(0, "awaiting_payment") == "unbilled"
    owner.execute("update public.session_attendees set status = 'declined' where id = %s", [seats[2]])
    assert after(1, "awaiting_payment") == "awaiting_payment"
    assert after(0, "paid") == "awaiting_payment"
    assert after(1, "written_off") == "paid"
    assert after(0, "written_off") == "written_off"
    with pytest.raises(psycopg.Error) as derived:
        owner.execute("update public.sessions set billing_status = 'paid' where id = %s", [group])
    assert refusal(derived.value) == (409, "billing_status_derived")
    single = add_session(owner, scene.coach, scene.client, at(-9), billing_status="paid", price_cents=5)
    assert (
        one(
            owner,
            "select billing_status from public.session_attendees where session_id = %s and role = 'client'",
            [single],
        )
        == "paid"
    )
    owner.execute("update public.sessions set billing_status = 'written_off' where id = %s", [single])
    assert (
        one(
            owner,
            "select billing_status from public.session_attendees where session_id = %s and role = 'client'",
            [single],
        )
        == "written_off"
    )


def test_another_coach_or_client_takes_the_seats_along(owner: Owner, scene: Scene) -> None:
    session = add_session(owner, scene.coach, scene.client, at(2))
    owner.execute(
        "update public.sessions set coach_id = %s, client_id = %s where id = %s",
        [scene.other_coach, scene.stranger, session],
    )
    seats = owner.execute(
        "select user_id, role, coach_id from public.session_attendees where session_id = %s and cancelled_at is null"
        " order by role",
        [session],
    ).fetchall()
    assert [(seat["user_id"], seat["role"]) for seat in seats] == [
        (scene.stranger, "client"),
        (scene.other_coach, "coach"),
    ]
    assert {seat["coach_id"] for seat in seats} == {scene.other_coach}
    assert one(owner, "select coach_id from public.coach_blocks where session_id = %s", [session]) == scene.other_coach
