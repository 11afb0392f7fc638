"""Seats of a group: never more than there are, whoever asks and however many at once."""

from __future__ import annotations

from uuid import UUID

import psycopg
import pytest
from psycopg.rows import DictRow, dict_row

from tests.support.acting import AsUser, acting
from tests.support.cluster import Cluster
from tests.support.scheduling import Scene, add_session, add_user, at, make_scene, one, race, refusal

Owner = psycopg.Connection[DictRow]

SEAT = "insert into public.session_attendees (session_id, user_id, role) values (%s, %s, 'client') returning id"
TAKEN = (
    "select count(*) from public.session_attendees"
    " where session_id = %s and role <> 'coach' and status <> 'declined' and cancelled_at is null"
)


@pytest.fixture
def scene(owner: Owner) -> Scene:
    return make_scene(owner)


def forty_for_five(owner: Owner, url: str, scene: Scene, day: int) -> int:
    """Forty at once for five seats, by plain inserts of the service role; how many seats were given."""
    session = add_session(owner, scene.coach, None, at(day), capacity=5)
    people = [add_user(owner, f"Racer{n}") for n in range(40)]

    def take(who: UUID) -> UUID:
        with acting(url, "service_role", {}) as conn:
            return one(conn, SEAT, [session, who])

    results = race([lambda who=who: take(who) for who in people])
    given = sum(isinstance(result, UUID) for result in results)
    assert {refusal(r) for r in results if isinstance(r, psycopg.Error)} <= {(409, "session_full")}
    assert one(owner, TAKEN, [session]) == given
    return given


def test_forty_clients_for_five_seats_get_five(owner: Owner, api_url: str, scene: Scene) -> None:
    assert [forty_for_five(owner, api_url, scene, day) for day in range(1, 11)] == [5] * 10


def test_without_the_guard_the_same_race_oversells(cluster: Cluster) -> None:
    # The negative control: counting without the lock, as it is done everywhere.
    name = cluster.create(cluster.template())
    try:
        with psycopg.connect(cluster.url(name, "loom_owner"), autocommit=True, row_factory=dict_row) as conn:
            body = one(conn, "select pg_get_functiondef('private.claim_place(uuid, uuid)'::regprocedure)")
            assert "for no key update" in body
            conn.execute(body.replace("for no key update", ""))
            scene = make_scene(conn)
            # Every transaction stays open for a moment, so that the race does not depend on the machine.
            conn.execute(
                "create function public.dawdle() returns trigger language plpgsql as"
                " $$ begin perform pg_sleep(0.2); return null; end $$;"
                " create trigger zz_dawdle after insert on public.session_attendees for each row"
                " when (new.role <> 'coach') execute function public.dawdle()"
            )
            assert forty_for_five(conn, cluster.url(name, "loom_api"), scene, 1) > 5
    finally:
        cluster.drop(name)


@pytest.mark.parametrize("level", [psycopg.IsolationLevel.REPEATABLE_READ, psycopg.IsolationLevel.SERIALIZABLE])
def test_a_transaction_with_one_snapshot_is_turned_away_since_its_count_would_be_old(
    owner: Owner, api_url: str, scene: Scene, level: psycopg.IsolationLevel
) -> None:
    session = add_session(owner, scene.coach, None, at(5), capacity=5)
    with psycopg.connect(api_url) as conn:
        conn.isolation_level = level
        conn.execute("select set_config('role', 'service_role', true)")
        with pytest.raises(psycopg.errors.InvalidTransactionState):
            conn.execute(SEAT, [session, scene.client])


def test_the_last_seat_and_a_lowered_capacity_do_not_both_happen(owner: Owner, api_url: str, scene: Scene) -> None:
    for day in range(6, 12):
        session = add_session(owner, scene.coach, None, at(day), capacity=2)
        owner.execute(SEAT, [session, scene.client])

        def take(session: UUID = session) -> str:
            with acting(api_url, "service_role", {}) as conn:
                conn.execute(SEAT, [session, scene.second_client])
            return "seat"

        def lower(session: UUID = session) -> str:
            with acting(api_url, "authenticated", {"sub": str(scene.coach)}) as conn:
                conn.execute("update public.sessions set capacity = 1 where id = %s", [session])
            return "lowered"

        results = race([take, lower])
        assert len([result for result in results if isinstance(result, str)]) == 1
        capacity = one(owner, "select capacity from public.sessions where id = %s", [session])
        assert one(owner, TAKEN, [session]) <= capacity


def test_a_declined_or_given_up_seat_is_free_again_and_comes_back_only_while_there_is_room(
    owner: Owner, as_user: AsUser, scene: Scene
) -> None:
    session = add_session(owner, scene.coach, None, at(12), capacity=1)
    with as_user(scene.coach) as conn:
        one(conn, "select public.invite_attendee(%s, %s)", [session, scene.client])
    with as_user(scene.client) as conn:
        one(conn, "select public.respond_to_invitation(%s, 'declined')", [session])
    with as_user(scene.coach) as conn:
        one(conn, "select public.invite_attendee(%s, %s)", [session, scene.second_client])
    with as_user(scene.client) as conn, pytest.raises(psycopg.Error) as full:
        one(conn, "select public.respond_to_invitation(%s, 'confirmed')", [session])
    assert refusal(full.value) == (409, "session_full")
    with as_user(scene.second_client) as conn:
        one(conn, "select public.cancel_attendance(%s)", [session])
    with as_user(scene.client) as conn:
        one(conn, "select public.respond_to_invitation(%s, 'confirmed')", [session])
    assert one(owner, TAKEN, [session]) == 1


def test_one_person_has_one_seat_whatever_the_role(owner: Owner, as_user: AsUser, scene: Scene) -> None:
    session = add_session(owner, scene.coach, None, at(13))
    owner.execute(SEAT, [session, scene.client])
    with pytest.raises(psycopg.errors.UniqueViolation):
        owner.execute(SEAT.replace("'client'", "'guest'"), [session, scene.client])
    guest = "insert into public.session_attendees (session_id, email, display_name) values (%s, %s, 'Guest')"
    owner.execute(guest, [session, "Guest@example.com"])
    with pytest.raises(psycopg.errors.UniqueViolation):
        owner.execute(guest, [session, "guest@EXAMPLE.com"])
    for who in ({"p_user_id": scene.client}, {"p_email": " GUEST@example.com "}):
        with as_user(scene.coach) as conn, pytest.raises(psycopg.Error) as again:
            name, value = next(iter(who.items()))
            one(conn, f"select public.invite_attendee(%s, {name} => %s)", [session, value])
        assert refusal(again.value) == (409, "already_invited")


def test_guests_count_against_the_capacity(owner: Owner, scene: Scene) -> None:
    session = add_session(owner, scene.coach, None, at(14), capacity=2)
    guest = "insert into public.session_attendees (session_id, role) values (%s, 'guest')"
    owner.execute(guest, [session])
    owner.execute(guest, [session])
    with pytest.raises(psycopg.Error) as full:
        owner.execute(guest, [session])
    assert refusal(full.value) == (409, "session_full")
