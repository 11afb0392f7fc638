"""Booking, against the database as the people themselves."""

from __future__ import annotations

from datetime import timedelta
from uuid import UUID, uuid4

import psycopg
import pytest
from psycopg.rows import DictRow, dict_row

from tests.support.acting import AsUser, acting
from tests.support.cluster import Cluster
from tests.support.scheduling import (
    add_session,
    add_template,
    add_user,
    at,
    make_client,
    make_scene,
    one,
    race,
    refusal,
    set_hours,
)

Owner = psycopg.Connection[DictRow]

BOOK = "select public.book_session(%s, %s) as id"


def blocks_overlap(owner: Owner, coach: UUID) -> int:
    """How many pairs of the coach's running or coming sessions overlap, by the sessions themselves."""
    return one(
        owner,
        "select count(*) from public.sessions a join public.sessions b on a.coach_id = b.coach_id and a.id < b.id"
        " and tstzrange(a.scheduled_at, a.ends_at) && tstzrange(b.scheduled_at, b.ends_at)"
        " where a.coach_id = %s and a.status in ('scheduled', 'in_progress')"
        " and b.status in ('scheduled', 'in_progress')",
        [coach],
    )


def test_booking_with_multiple_attendees(owner: Owner, as_user: AsUser) -> None:
    scene = make_scene(owner)
    with as_user(scene.coach) as coach:
        session = one(coach, "select public.create_group_session(%s, %s, 3)", [scene.group, at(3)])
        for who in (scene.client, scene.second_client):
            one(coach, "select public.invite_attendee(%s, p_user_id => %s)", [session, who])
        one(
            coach,
            "select public.invite_attendee(%s, p_email => 'Guest@Example.com', p_display_name => 'Gili')",
            [session],
        )
    seats = owner.execute(
        "select role, status, user_id, email, price_cents, currency, billing_status from public.session_attendees"
        " where session_id = %s order by role, email nulls first, created_at",
        [session],
    ).fetchall()
    assert [(seat["role"], seat["status"], seat["price_cents"], seat["billing_status"]) for seat in seats] == [
        ("client", "invited", 25000, "unbilled"),
        ("client", "invited", 25000, "unbilled"),
        ("coach", "confirmed", None, "unbilled"),
        ("guest", "invited", 25000, "unbilled"),
    ]
    assert [seat["email"] for seat in seats] == [None, None, None, "guest@example.com"]
    with as_user(scene.coach) as coach, pytest.raises(psycopg.Error) as full:
        one(coach, "select public.invite_attendee(%s, p_email => 'fourth@example.com')", [session])
    assert refusal(full.value) == (409, "session_full")


def test_a_plain_insert_of_the_old_columns_fills_everything(owner: Owner) -> None:
    scene = make_scene(owner)
    past = one(
        owner,
        "insert into public.sessions (coach_id, client_id, title, scheduled_at, duration_minutes, status, notes)"
        " values (%s, %s, 'Old', '2019-05-01 10:00+00', 45, 'completed', 'imported') returning id",
        [scene.coach, scene.client],
    )
    session = owner.execute("select * from public.sessions where id = %s", [past]).fetchone()
    assert session is not None
    assert session["ends_at"] - session["scheduled_at"] == timedelta(minutes=45)
    assert (session["type"], session["timezone"], session["buffer_after_minutes"]) == (
        "individual",
        "Asia/Jerusalem",
        0,
    )
    seats = owner.execute(
        "select user_id, role, status from public.session_attendees where session_id = %s order by role", [past]
    ).fetchall()
    assert [(seat["user_id"], seat["role"], seat["status"]) for seat in seats] == [
        (scene.client, "client", "confirmed"),
        (scene.coach, "coach", "confirmed"),
    ]
    assert one(owner, "select count(*) from public.coach_blocks where session_id = %s", [past]) == 0


def test_the_service_role_and_the_coach_may_insert_plainly_too(owner: Owner, as_user: AsUser, api_url: str) -> None:
    scene = make_scene(owner)
    insert = (
        "insert into public.sessions (coach_id, client_id, title, scheduled_at, status)"
        " values (%s, %s, 'x', %s, 'scheduled') returning id"
    )
    with acting(api_url, "service_role", {}) as service:
        by_service = one(service, insert, [scene.coach, scene.stranger, at(-30)])
    with as_user(scene.coach) as coach:
        by_coach = one(coach, insert, [scene.coach, scene.client, at(5)])
    for session, blocked in ((by_service, 0), (by_coach, 1)):
        assert one(owner, "select count(*) from public.session_attendees where session_id = %s", [session]) == 2
        assert one(owner, "select count(*) from public.coach_blocks where session_id = %s", [session]) == blocked


def test_an_insert_takes_price_capacity_and_buffers_from_the_template(owner: Owner) -> None:
    scene = make_scene(owner)
    template = add_template(
        owner, scene.coach, currency="USD", buffer_before_minutes=10, buffer_after_minutes=20, roster_visible=True
    )
    session = add_session(owner, scene.coach, scene.client, at(4), template_id=template)
    row = owner.execute("select * from public.sessions where id = %s", [session]).fetchone()
    assert row is not None
    assert (row["price_cents"], row["currency"], row["roster_visible"]) == (30000, "USD", True)
    during = one(owner, "select during from public.coach_blocks where session_id = %s", [session])
    assert (during.lower, during.upper) == (at(4, 9, 50), at(4, 11, 20))
    told = add_session(
        owner, scene.coach, scene.client, at(6), template_id=template, price_cents=1, roster_visible=False
    )
    row = owner.execute("select * from public.sessions where id = %s", [told]).fetchone()
    assert row is not None
    assert (row["price_cents"], row["roster_visible"]) == (1, False)


def test_one_slot_asked_for_by_twenty_clients_goes_to_one(owner: Owner, as_user: AsUser) -> None:
    scene = make_scene(owner)
    callers = [add_user(owner, f"Caller{n}") for n in range(20)]

    def book(who: UUID) -> UUID:
        with as_user(who) as conn:
            return one(conn, BOOK, [scene.single, at(7)])

    results = race([lambda who=who: book(who) for who in callers])
    winners = [result for result in results if isinstance(result, UUID)]
    assert len(winners) == 1
    assert {refusal(r) for r in results if isinstance(r, psycopg.Error)} == {(409, "slot_taken")}
    assert one(owner, "select count(*) from public.sessions where coach_id = %s", [scene.coach]) == 1
    assert one(owner, "select client_id = any(%s) from public.sessions where id = %s", [callers, winners[0]])


def test_partly_overlapping_bookings_leave_no_overlap_and_no_deadlock(owner: Owner, as_user: AsUser) -> None:
    scene = make_scene(owner)
    set_hours(owner, scene.coach, "Asia/Jerusalem", "08:00", "20:00")
    template = add_template(owner, scene.coach, slot_step_minutes=5)
    callers = [add_user(owner, f"Caller{n}") for n in range(12)]

    def book(place: int, day: int) -> UUID:
        with as_user(callers[place]) as conn:
            return one(conn, BOOK, [template, at(day, 10, place * 5)])

    for day in range(10, 15):
        results = race([lambda place=place, day=day: book(place, day) for place in range(12)])
        assert sum(isinstance(result, UUID) for result in results) == 1
        assert {refusal(r) for r in results if isinstance(r, psycopg.Error)} == {(409, "slot_taken")}
    assert blocks_overlap(owner, scene.coach) == 0


def test_without_the_constraint_the_same_race_books_twice(cluster: Cluster) -> None:
    # The negative control of the two tests above, in a database of its own.
    name = cluster.create(cluster.template())
    url, api_url = cluster.url(name, "loom_owner"), cluster.url(name, "loom_api")
    try:
        with psycopg.connect(url, autocommit=True, row_factory=dict_row) as conn:
            scene = make_scene(conn)
            conn.execute("alter table public.coach_blocks drop constraint coach_blocks_no_overlap")
            body = one(conn, "select pg_get_functiondef('private.keep_session_block(public.sessions)'::regprocedure)")
            conn.execute(body.replace("on conflict on constraint coach_blocks_no_overlap do nothing", ""))
            callers = [add_user(conn, f"Caller{n}") for n in range(8)]

            def book(who: UUID) -> UUID:
                with acting(api_url, "authenticated", {"sub": str(who)}) as caller:
                    return one(caller, BOOK, [scene.single, at(7)])

            results = race([lambda who=who: book(who) for who in callers])
            assert sum(isinstance(result, UUID) for result in results) > 1
            assert blocks_overlap(conn, scene.coach) > 0
    finally:
        cluster.drop(name)


def test_back_to_back_sessions_are_fine_and_buffers_are_kept(owner: Owner, as_user: AsUser) -> None:
    scene = make_scene(owner)
    buffered = add_template(owner, scene.coach, buffer_after_minutes=15)
    with as_user(scene.client) as conn:
        one(conn, BOOK, [scene.single, at(8, 10)])
        one(conn, BOOK, [scene.single, at(8, 11)])
    with as_user(scene.client) as conn:
        one(conn, BOOK, [buffered, at(8, 13)])
    with as_user(scene.client) as conn, pytest.raises(psycopg.Error) as taken:
        one(conn, BOOK, [scene.single, at(8, 14)])
    assert refusal(taken.value) == (409, "slot_taken")


def test_an_expired_hold_gives_way_to_a_booking_and_a_live_one_does_not(owner: Owner, as_user: AsUser) -> None:
    scene = make_scene(owner)
    for day, expiry in ((9, "now() - interval '1 second'"), (10, "now() + interval '10 minutes'")):
        owner.execute(
            "insert into public.coach_blocks (coach_id, kind, during, expires_at)"
            f" values (%s, 'hold', tstzrange(%s, %s), {expiry})",
            [scene.coach, at(day, 10), at(day, 11)],
        )
    with as_user(scene.client) as conn:
        one(conn, BOOK, [scene.single, at(9, 10)])
    assert (
        one(owner, "select count(*) from public.coach_blocks where coach_id = %s and kind = 'hold'", [scene.coach]) == 1
    )
    with as_user(scene.client) as conn, pytest.raises(psycopg.Error) as taken:
        one(conn, BOOK, [scene.single, at(10, 10)])
    assert refusal(taken.value) == (409, "slot_taken")


def test_a_client_books_only_what_is_offered_and_a_coach_whenever_free(owner: Owner, as_user: AsUser) -> None:
    scene = make_scene(owner)
    for start in (at(5, 10, 30), at(5, 8), at(5, 17), at(5, 22)):
        with as_user(scene.client) as conn, pytest.raises(psycopg.Error) as refused:
            one(conn, BOOK, [scene.single, start])
        assert refusal(refused.value) == (422, "slot_not_offered")
    with as_user(scene.coach) as conn:
        late = one(conn, "select public.book_session(%s, %s, %s)", [scene.single, at(5, 22), scene.client])
    assert one(owner, "select client_id from public.sessions where id = %s", [late]) == scene.client
    with as_user(scene.coach) as conn, pytest.raises(psycopg.Error) as taken:
        one(conn, "select public.book_session(%s, %s, %s)", [scene.single, at(5, 22, 30), scene.second_client])
    assert refusal(taken.value) == (409, "slot_taken")


@pytest.mark.parametrize(
    ("who", "template", "client", "expected"),
    [
        ("coach", "single", None, (422, "client_required")),
        ("coach", "single", "stranger", (404, "not_found")),
        ("coach", "single", "random", (404, "not_found")),
        ("client", "single", "second_client", (404, "not_found")),
        ("client", "group", None, (422, "template_is_group")),
        ("client", "random", None, (404, "not_found")),
        ("other_coach", "single", "client", (404, "not_found")),
    ],
)
def test_a_booking_that_is_not_for_the_caller_is_refused(
    owner: Owner, as_user: AsUser, who: str, template: str, client: str | None, expected: tuple[int, str]
) -> None:
    scene = make_scene(owner)
    ids = {name: getattr(scene, name) for name in scene.__slots__} | {"random": uuid4()}
    with as_user(ids[who]) as conn, pytest.raises(psycopg.Error) as refused:
        one(conn, "select public.book_session(%s, %s, %s)", [ids[template], at(6), ids[client] if client else None])
    assert refusal(refused.value) == expected
    assert one(owner, "select count(*) from public.sessions where coach_id = %s", [scene.coach]) == 0


def test_nobody_books_with_a_suspended_coach_or_from_a_switched_off_template(owner: Owner, as_user: AsUser) -> None:
    scene = make_scene(owner)
    owner.execute("update public.session_templates set is_active = false where id = %s", [scene.single])
    with as_user(scene.client) as conn, pytest.raises(psycopg.Error) as off:
        one(conn, BOOK, [scene.single, at(6)])
    owner.execute("update public.session_templates set is_active = true where id = %s", [scene.single])
    owner.execute("update public.users set status = 'suspended' where id = %s", [scene.coach])
    with as_user(scene.client) as conn, pytest.raises(psycopg.Error) as suspended:
        one(conn, BOOK, [scene.single, at(6)])
    assert refusal(off.value) == refusal(suspended.value) == (404, "not_found")


def test_the_past_is_refused_to_people_but_not_to_imports(owner: Owner, as_user: AsUser) -> None:
    scene = make_scene(owner)
    with as_user(scene.client) as conn, pytest.raises(psycopg.Error) as booked:
        one(conn, BOOK, [scene.single, at(-1)])
    insert = "insert into public.sessions (coach_id, client_id, title, scheduled_at) values (%s, %s, 'x', %s)"
    with as_user(scene.coach) as conn, pytest.raises(psycopg.Error) as inserted:
        conn.execute(insert, [scene.coach, scene.client, at(-1)])
    assert refusal(booked.value) == refusal(inserted.value) == (422, "session_in_past")
    owner.execute(insert, [scene.coach, scene.client, at(-1)])
    # What was late to be completed can still be changed: the rule looks at new times only.
    with as_user(scene.coach) as conn:
        conn.execute("update public.sessions set notes = 'late' where coach_id = %s", [scene.coach])


def test_booking_makes_the_relation_of_coach_and_client(owner: Owner, as_user: AsUser) -> None:
    scene = make_scene(owner)
    with as_user(scene.stranger) as conn:
        one(conn, BOOK, [scene.single, at(6)])
    relation = owner.execute(
        "select status, source from public.coach_clients where coach_id = %s and client_id = %s",
        [scene.coach, scene.stranger],
    ).fetchone()
    assert relation == {"status": "active", "source": "booking"}


def test_sessions_that_change_places_at_once_do_not_deadlock(owner: Owner, as_user: AsUser) -> None:
    scene = make_scene(owner)
    make_client(owner, scene.coach, scene.stranger)
    for day in range(20, 25):
        first = add_session(owner, scene.coach, scene.client, at(day, 10))
        second = add_session(owner, scene.coach, scene.second_client, at(day, 12))

        def move(session: UUID, hour: int, day: int = day) -> UUID:
            with as_user(scene.coach) as conn:
                return one(conn, "select public.reschedule_session(%s, %s)", [session, at(day, hour)])

        results = race([lambda m=move, s=first: m(s, 12), lambda m=move, s=second: m(s, 10)])
        assert {refusal(r) for r in results if isinstance(r, psycopg.Error)} <= {(409, "slot_taken")}
    assert blocks_overlap(owner, scene.coach) == 0
