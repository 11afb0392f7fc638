"""Reflections: the client's own, read by the coach whom they concern."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any
from uuid import UUID, uuid4

import httpx
import psycopg
import pytest

from tests.support.acting import AsUser
from tests.support.people import Owner, Person, a_coach, a_person, a_session, make_client

Bearer = Callable[[Any], dict[str, str]]


@dataclass
class Practice:
    """A coach with a client and a session of theirs."""

    coach: Person
    client: Person
    session: UUID


@pytest.fixture
def practice(owner: Owner) -> Practice:
    coach, client = a_coach(owner), a_person(owner, "dana")
    make_client(owner, coach, client)
    return Practice(coach, client, a_session(owner, coach, client))


async def write(client: httpx.AsyncClient, headers: dict[str, str], **fields: Any) -> dict[str, Any]:
    answer = await client.post("/v1/reflections", json={"content": "I said no for once."} | fields, headers=headers)
    assert answer.status_code == 201, answer.text
    assert answer.headers["location"] == f"/v1/reflections/{answer.json()['id']}"
    return answer.json()


async def test_a_client_writes_about_a_session_and_its_coach_reads_it(
    client: httpx.AsyncClient, bearer: Bearer, practice: Practice
) -> None:
    fields = {
        "session_id": str(practice.session),
        "mood_rating": 8,
        "insights": "It helps.",
        "goals_for_next_session": None,
    }
    written = await write(client, bearer(practice.client.id), **fields)
    assert {name: written[name] for name in fields} == fields
    url = f"/v1/reflections/{written['id']}"
    assert (await client.get(url, headers=bearer(practice.coach.id))).json() == written
    listed = await client.get(
        "/v1/reflections", params={"session_id": str(practice.session)}, headers=bearer(practice.coach.id)
    )
    assert listed.json()["items"] == [written]
    for verb, body in (("PATCH", {"content": "Mine"}), ("DELETE", None)):
        assert (await client.request(verb, url, json=body, headers=bearer(practice.coach.id))).status_code == 404


async def test_another_coach_of_the_same_client_does_not_read_it(
    client: httpx.AsyncClient, bearer: Bearer, practice: Practice, owner: Owner
) -> None:
    other = a_coach(owner)
    make_client(owner, other, practice.client)
    a_session(owner, other, practice.client)
    written = await write(client, bearer(practice.client.id), session_id=str(practice.session))
    for somebody in (other, a_coach(owner), a_person(owner)):
        assert (await client.get(f"/v1/reflections/{written['id']}", headers=bearer(somebody.id))).status_code == 404
        assert (await client.get("/v1/reflections", headers=bearer(somebody.id))).json()["items"] == []


async def test_a_reflection_without_a_session_is_the_clients_own_also_when_the_session_goes(
    client: httpx.AsyncClient, bearer: Bearer, practice: Practice, owner: Owner
) -> None:
    free = await write(client, bearer(practice.client.id))
    tied = await write(client, bearer(practice.client.id), session_id=str(practice.session))
    seen = (await client.get("/v1/reflections", headers=bearer(practice.coach.id))).json()["items"]
    assert [item["id"] for item in seen] == [tied["id"]]
    owner.execute("delete from public.sessions where id = %s", [practice.session])
    assert (await client.get("/v1/reflections", headers=bearer(practice.coach.id))).json()["items"] == []
    mine = (await client.get("/v1/reflections", headers=bearer(practice.client.id))).json()["items"]
    assert {item["id"] for item in mine} == {free["id"], tied["id"]}


async def test_in_a_group_the_coach_reads_it_and_no_other_attendee(
    client: httpx.AsyncClient, bearer: Bearer, practice: Practice, owner: Owner
) -> None:
    other = a_person(owner, "avi")
    make_client(owner, practice.coach, other)
    group = owner.execute(
        "insert into public.sessions (coach_id, type, title, scheduled_at, roster_visible)"
        " values (%s, 'group', 'Circle', now() - interval '9 days', true) returning id",
        [practice.coach.id],
    ).fetchone()
    assert group is not None
    for who in (practice.client, other):
        owner.execute(
            "insert into public.session_attendees (session_id, user_id, role, status)"
            " values (%s, %s, 'client', 'confirmed')",
            [group["id"], who.id],
        )
    written = await write(client, bearer(practice.client.id), session_id=str(group["id"]))
    url = f"/v1/reflections/{written['id']}"
    assert (await client.get(url, headers=bearer(practice.coach.id))).status_code == 200
    assert (await client.get(url, headers=bearer(other.id))).status_code == 404
    # A note about the group's session is about one attendee, and shared with that one alone.
    note = {"client_id": str(practice.client.id), "session_id": str(group["id"]), "title": "N", "content": "For you."}
    shared = await client.post(
        "/v1/notes", json=note | {"privacy_level": "shared_with_client"}, headers=bearer(practice.coach.id)
    )
    assert shared.status_code == 201, shared.text
    for who, status in ((practice.client, 200), (other, 404)):
        assert (await client.get(f"/v1/notes/{shared.json()['id']}", headers=bearer(who.id))).status_code == status
    absent = await client.post(
        "/v1/notes",
        json=note | {"client_id": str(other.id), "session_id": str(practice.session)},
        headers=bearer(practice.coach.id),
    )
    assert (absent.status_code, absent.json()["code"]) == (404, "not_found")


async def test_a_reflection_is_tied_to_sessions_of_ones_own_only(
    client: httpx.AsyncClient, bearer: Bearer, practice: Practice, owner: Owner
) -> None:
    stranger = a_person(owner)
    for session in (practice.session, uuid4()):
        answer = await client.post(
            "/v1/reflections", json={"content": "x", "session_id": str(session)}, headers=bearer(stranger.id)
        )
        assert (answer.status_code, answer.json()["code"]) == (404, "not_found")
    own = await write(client, bearer(stranger.id))
    moved = await client.patch(
        f"/v1/reflections/{own['id']}", json={"session_id": str(practice.session)}, headers=bearer(stranger.id)
    )
    assert moved.status_code == 404


async def test_a_change_touches_only_what_was_sent(
    client: httpx.AsyncClient, bearer: Bearer, practice: Practice
) -> None:
    written = await write(client, bearer(practice.client.id), mood_rating=3, insights="None yet.")
    url = f"/v1/reflections/{written['id']}"
    changed = (await client.patch(url, json={"mood_rating": 7}, headers=bearer(practice.client.id))).json()
    assert changed | {"updated_at": None} == written | {"mood_rating": 7, "updated_at": None}
    cleared = (await client.patch(url, json={"mood_rating": None}, headers=bearer(practice.client.id))).json()
    assert (cleared["mood_rating"], cleared["insights"]) == (None, "None yet.")
    assert (await client.delete(url, headers=bearer(practice.client.id))).status_code == 204
    assert (await client.get(url, headers=bearer(practice.client.id))).status_code == 404


@pytest.mark.parametrize(
    "bad",
    [
        {"content": ""},
        {"content": "  "},
        {"content": "x" * 20_001},
        {"content": "a\x00b"},
        {"content": None},
        {"mood_rating": 0},
        {"mood_rating": 11},
        {"mood_rating": 5.5},
        {"mood_rating": "5"},
        {"mood_rating": True},
        {"insights": "x" * 5001},
        {"goals_for_next_session": "\x00"},
        {"session_id": "yesterday"},
        {"client_id": str(uuid4())},
    ],
)
async def test_a_bad_reflection_is_refused(
    client: httpx.AsyncClient, bearer: Bearer, practice: Practice, bad: dict[str, Any]
) -> None:
    answer = await client.post("/v1/reflections", json={"content": "x"} | bad, headers=bearer(practice.client.id))
    assert (answer.status_code, answer.json()["code"]) == (422, "invalid_request")
    assert (await client.get("/v1/reflections", headers=bearer(practice.client.id))).json()["items"] == []


def test_straight_in_sql_nobody_writes_in_another_persons_name(
    owner: Owner, practice: Practice, as_user: AsUser
) -> None:
    insert = "insert into public.reflections (client_id, session_id, content) values (%s, %s, 'x')"
    with as_user(practice.client.id) as conn:
        conn.execute(insert, [practice.client.id, practice.session])
    for somebody in (practice.coach, a_person(owner)):
        with pytest.raises(psycopg.errors.InsufficientPrivilege), as_user(somebody.id) as conn:
            conn.execute(insert, [practice.client.id, practice.session])
        with as_user(somebody.id) as conn:
            assert conn.execute("update public.reflections set content = 'y'").rowcount == 0
            assert conn.execute("delete from public.reflections").rowcount == 0
