"""Many at once: one winner, no more seats than there are, and nobody sees a server error."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Callable
from typing import Any
from uuid import UUID

import httpx
import psycopg
import pytest
from psycopg.rows import DictRow, dict_row

from tests.support.acting import AsUser, acting
from tests.support.cluster import Cluster
from tests.support.scheduling import Scene, add_session, add_user, at, make_scene, one, race, refusal, set_hours

Owner = psycopg.Connection[DictRow]
Bearer = Callable[[UUID], dict[str, str]]

SEAT = (
    "insert into public.session_attendees (session_id, user_id, role, status)"
    " values (%s, %s, 'client', %s) returning id"
)
TAKEN = (
    "select count(*) from public.session_attendees"
    " where session_id = %s and role <> 'coach' and status <> 'declined' and cancelled_at is null"
)


@pytest.fixture
def scene(owner: Owner) -> Scene:
    return make_scene(owner)


async def test_twenty_callers_one_slot_forty_rounds(
    client: httpx.AsyncClient, bearer: Bearer, owner: Owner, scene: Scene
) -> None:
    # Five starts a day on eight days. The constraint switched off is tested in test_booking.
    callers = [bearer(add_user(owner, f"Caller{n}")) for n in range(20)]
    answers: Counter[tuple[int, str]] = Counter()
    for start in [at(day, hour) for day in range(3, 11) for hour in (9, 10, 11, 14, 16)]:
        body = {"template_id": str(scene.single), "starts_at": start.isoformat()}
        round_answers = await asyncio.gather(
            *(client.post("/v1/sessions", json=body, headers=headers) for headers in callers)
        )
        assert sum(answer.status_code == 201 for answer in round_answers) == 1
        answers.update((answer.status_code, answer.json().get("code", "")) for answer in round_answers)
    assert answers == {(201, ""): 40, (409, "slot_taken"): 760}
    assert one(owner, "select count(*) from public.sessions where coach_id = %s", [scene.coach]) == 40


def last_seat(owner: Owner, url: str, scene: Scene, day: int) -> tuple[int, int]:
    """The last of three seats, wanted by a client, a walk-in, and a coach who lowers the capacity; taken, and of."""
    session = add_session(owner, scene.coach, None, at(day), capacity=3)
    for who in (scene.client, scene.second_client):
        owner.execute(SEAT, [session, who, "confirmed"])

    def take(status: str) -> str:
        with acting(url, "service_role", {}) as conn:
            conn.execute(SEAT, [session, add_user(owner, "Late") if status == "checked_in" else scene.stranger, status])
        return status

    def lower() -> str:
        with acting(url, "authenticated", {"sub": str(scene.coach)}) as conn:
            conn.execute("update public.sessions set capacity = 2 where id = %s", [session])
        return "lowered"

    results = race([lambda: take("confirmed"), lambda: take("checked_in"), lower])
    assert {refusal(r) for r in results if isinstance(r, psycopg.Error)} <= {
        (409, "session_full"),
        (409, "capacity_below_seats"),
    }
    assert sum(isinstance(result, str) for result in results) == 1
    return one(owner, TAKEN, [session]), one(owner, "select capacity from public.sessions where id = %s", [session])


def test_the_last_seat_a_walk_in_and_a_lowered_capacity(owner: Owner, api_url: str, scene: Scene) -> None:
    for day in range(20, 28):
        taken, capacity = last_seat(owner, api_url, scene, day)
        assert taken <= capacity


def test_without_the_lock_on_the_session_the_last_seat_is_sold_twice(cluster: Cluster) -> None:
    # The negative control: everything stays open for a moment, and nobody waits for another.
    name = cluster.create(cluster.template())
    try:
        with psycopg.connect(cluster.url(name, "loom_owner"), autocommit=True, row_factory=dict_row) as conn:
            body = one(conn, "select pg_get_functiondef('private.claim_place(uuid, uuid)'::regprocedure)")
            assert "for no key update" in body
            conn.execute(body.replace("for no key update", ""))
            conn.execute(
                "create function public.dawdle() returns trigger language plpgsql as"
                " $$ begin perform pg_sleep(0.2); return null; end $$;"
                " create trigger zz_dawdle after insert on public.session_attendees for each row"
                " when (new.status = 'confirmed' or new.status = 'checked_in') execute function public.dawdle()"
            )
            scene = make_scene(conn)
            with pytest.raises(AssertionError):
                for day in range(20, 24):
                    taken, capacity = last_seat(conn, cluster.url(name, "loom_api"), scene, day)
                    assert taken <= capacity
    finally:
        cluster.drop(name)


def test_a_booking_a_move_a_hold_and_time_off_for_one_hour(owner: Owner, scene: Scene, as_user: AsUser) -> None:
    set_hours(owner, scene.coach, "Asia/Jerusalem", "08:00", "20:00")
    for day in range(30, 36):
        elsewhere = add_session(owner, scene.coach, scene.second_client, at(day, 18), template_id=scene.single)

        def act(who: UUID, query: str, params: list[Any]) -> Any:
            with as_user(who) as conn:
                return one(conn, query, params)

        book = ("select public.book_session(%s, %s)", [scene.single, at(day, 12)])
        hold = ("select public.hold_slot(%s, %s)", [scene.single, at(day, 12)])
        move = ("select public.reschedule_session(%s, %s)", [elsewhere, at(day, 12)])
        off = ("select public.take_time_off(%s, %s)", [at(day, 11, 30), at(day, 12, 30)])
        wanted = [(scene.client, book), (scene.stranger, hold), (scene.second_client, move), (scene.coach, off)]
        results = race([lambda who=who, ask=ask: act(who, *ask) for who, ask in wanted])
        assert sum(not isinstance(result, psycopg.Error) for result in results) == 1
        assert {refusal(r) for r in results if isinstance(r, psycopg.Error)} <= {
            (409, "slot_taken"),
            (409, "time_off_conflict"),
        }
