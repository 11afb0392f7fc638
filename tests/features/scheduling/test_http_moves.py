"""Moves of sessions and seats over HTTP: each route once as it should be, once as it is refused."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any
from uuid import UUID

import httpx
import psycopg
import pytest
from psycopg.rows import DictRow

from tests.support.scheduling import Scene, add_session, at, make_scene, one

Owner = psycopg.Connection[DictRow]
Bearer = Callable[[UUID], dict[str, str]]


@pytest.fixture
def scene(owner: Owner) -> Scene:
    return make_scene(owner)


async def test_a_client_moves_and_cancels_her_own_session_and_only_within_the_offer(
    client: httpx.AsyncClient, bearer: Bearer, scene: Scene
) -> None:
    me = bearer(scene.client)
    body = {"template_id": str(scene.single), "starts_at": at(2).isoformat()}
    session = (await client.post("/v1/sessions", json=body, headers=me)).json()["id"]

    async def move(headers: dict[str, str], **body: Any) -> tuple[int, str]:
        answer = await client.post(f"/v1/sessions/{session}/reschedule", json=body, headers=headers)
        return answer.status_code, answer.json().get("code") or answer.json()["scheduled_at"]

    assert await move(me, starts_at=at(2, 21).isoformat()) == (422, "slot_not_offered")
    assert await move(me, starts_at=at(-2).isoformat()) == (422, "session_in_past")
    assert await move(me, starts_at=at(3).isoformat(), duration_minutes=90) == (422, "slot_not_offered")
    assert await move(me, starts_at="soon") == (422, "invalid_request")
    assert await move(me, starts_at=at(3, 11).isoformat()) == (200, f"{at(3, 11):%Y-%m-%dT%H:%M:%SZ}")
    assert await move(bearer(scene.coach), starts_at=at(-2).isoformat()) == (422, "session_in_past")
    assert (await move(bearer(scene.coach), starts_at=at(3, 21).isoformat(), duration_minutes=90))[0] == 200
    gone = await client.post(f"/v1/sessions/{session}/cancel", json={"reason": "ill"}, headers=me)
    assert (gone.json()["status"], gone.json()["cancellation_reason"]) == ("cancelled", "ill")
    assert gone.json()["cancelled_by"] == str(scene.client)
    again = await client.post(f"/v1/sessions/{session}/cancel", json={}, headers=me)
    assert (again.status_code, again.json()["code"]) == (409, "session_state_conflict")
    assert await move(me, starts_at=at(4).isoformat()) == (409, "session_state_conflict")


async def test_early_completion_and_absence_are_refused(
    client: httpx.AsyncClient, bearer: Bearer, scene: Scene, owner: Owner
) -> None:
    ahead = add_session(owner, scene.coach, scene.client, at(2))
    for verb in ("complete", "no-show"):
        answer = await client.post(f"/v1/sessions/{ahead}/{verb}", headers=bearer(scene.coach))
        assert (answer.status_code, answer.json()["code"]) == (409, "session_not_started")
    missed = add_session(owner, scene.coach, scene.client, at(-2))
    answer = await client.post(f"/v1/sessions/{missed}/no-show", headers=bearer(scene.coach))
    assert answer.json()["status"] == "no_show"


async def test_seats_are_priced_given_up_taken_away_and_checked_in_by_mistake(
    client: httpx.AsyncClient, bearer: Bearer, scene: Scene, owner: Owner
) -> None:
    group = add_session(owner, scene.coach, None, at(2), price_cents=100, capacity=2)
    coach = bearer(scene.coach)
    seats: list[str] = []
    for who in (scene.client, scene.second_client):
        answer = await client.post(f"/v1/sessions/{group}/attendees", json={"user_id": str(who)}, headers=coach)
        seats.append(answer.json()["id"])
    full = await client.post(f"/v1/sessions/{group}/attendees", json={"email": "g@example.com"}, headers=coach)
    assert (full.status_code, full.json()["code"]) == (409, "session_full")
    unclear = await client.post(f"/v1/sessions/{group}/attendees", json={}, headers=coach)
    assert (unclear.status_code, unclear.json()["code"]) == (422, "attendee_unclear")
    priced = await client.patch(
        f"/v1/attendees/{seats[0]}", json={"price_cents": 80, "notes": "Bring a mat"}, headers=coach
    )
    assert (priced.json()["price_cents"], priced.json()["notes"], priced.json()["name"]) == (80, "Bring a mat", "Dana")
    not_mine = await client.patch(f"/v1/attendees/{seats[0]}", json={"price_cents": 0}, headers=bearer(scene.client))
    assert not_mine.status_code == 404
    for kind, number, status in (("in", 1, "checked_in"), ("in", 1, "checked_in"), ("undo", 2, "invited")):
        answer = await client.post(f"/v1/attendees/{seats[0]}/attendance", json={"kind": kind}, headers=coach)
        assert (answer.status_code, answer.json()["number"]) == (200, number)
        assert (await client.get(f"/v1/attendees/{seats[0]}", headers=coach)).json()["status"] == status
    left = await client.post(f"/v1/sessions/{group}/leave", json={"reason": "moved"}, headers=bearer(scene.client))
    assert (left.status_code, left.json()["cancellation_reason"]) == (200, "moved")
    assert (await client.get(f"/v1/sessions/{group}", headers=bearer(scene.client))).status_code == 404
    taken = await client.post(f"/v1/attendees/{seats[1]}/cancel", json={}, headers=coach)
    assert taken.json()["cancelled_by"] == str(scene.coach)
    twice = await client.post(f"/v1/attendees/{seats[1]}/cancel", json={}, headers=coach)
    assert twice.status_code == 404
    capacity = await client.patch(f"/v1/sessions/{group}", json={"capacity": 1}, headers=coach)
    assert capacity.status_code == 200
    assert (
        one(
            owner,
            "select count(*) from public.session_events where session_id = %s and kind = 'seat_cancelled'",
            [group],
        )
        == 2
    )


async def test_a_capacity_below_the_seats_taken_is_refused(
    client: httpx.AsyncClient, bearer: Bearer, scene: Scene, owner: Owner
) -> None:
    group = add_session(owner, scene.coach, None, at(2), capacity=3)
    for who in (scene.client, scene.second_client):
        owner.execute(
            "insert into public.session_attendees (session_id, user_id, role) values (%s, %s, 'client')", [group, who]
        )
    answer = await client.patch(f"/v1/sessions/{group}", json={"capacity": 1}, headers=bearer(scene.coach))
    assert (answer.status_code, answer.json()["code"]) == (409, "capacity_below_seats")
