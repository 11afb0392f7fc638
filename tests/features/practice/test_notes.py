"""A coach's notes: private until shared on purpose, about present clients only."""

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

    def note(self, **more: Any) -> dict[str, Any]:
        return {"client_id": str(self.client.id), "title": "After the first talk", "content": "Sleeps better."} | more


@pytest.fixture
def practice(owner: Owner) -> Practice:
    coach, client = a_coach(owner), a_person(owner, "dana")
    make_client(owner, coach, client)
    return Practice(coach, client, a_session(owner, coach, client))


async def write(client: httpx.AsyncClient, headers: dict[str, str], body: dict[str, Any]) -> dict[str, Any]:
    answer = await client.post("/v1/notes", json=body, headers=headers)
    assert answer.status_code == 201, answer.text
    assert answer.headers["location"] == f"/v1/notes/{answer.json()['id']}"
    return answer.json()


async def test_a_note_is_private_unless_said_otherwise(
    client: httpx.AsyncClient, bearer: Bearer, practice: Practice, owner: Owner
) -> None:
    body = practice.note(session_id=str(practice.session), tags=["sleep", "שינה"])
    note = await write(client, bearer(practice.coach.id), body)
    assert note["privacy_level"] == "private"
    assert {name: note[name] for name in body} == body
    assert note["coach_id"] == str(practice.coach.id)
    for reader in (practice.client, a_coach(owner), a_person(owner)):
        assert (await client.get(f"/v1/notes/{note['id']}", headers=bearer(reader.id))).status_code == 404
        assert (await client.get("/v1/notes", headers=bearer(reader.id))).json()["items"] == []


async def test_a_shared_note_is_the_clients_to_read_until_it_is_taken_back(
    client: httpx.AsyncClient, bearer: Bearer, practice: Practice, owner: Owner
) -> None:
    await write(client, bearer(practice.coach.id), practice.note())
    shared = await write(client, bearer(practice.coach.id), practice.note(privacy_level="shared_with_client"))
    url = f"/v1/notes/{shared['id']}"
    listed = (await client.get("/v1/notes", headers=bearer(practice.client.id))).json()["items"]
    assert [note["id"] for note in listed] == [shared["id"]]
    assert (await client.get(url, headers=bearer(a_person(owner).id))).status_code == 404
    for verb, body in (("PATCH", {"title": "Mine"}), ("DELETE", None)):
        answer = await client.request(verb, url, json=body, headers=bearer(practice.client.id))
        assert answer.status_code == 404, "the client reads and no more"
    await client.patch(url, json={"privacy_level": "private"}, headers=bearer(practice.coach.id))
    assert (await client.get(url, headers=bearer(practice.client.id))).status_code == 404


async def test_a_change_touches_only_what_was_sent(
    client: httpx.AsyncClient, bearer: Bearer, practice: Practice
) -> None:
    body = practice.note(session_id=str(practice.session), tags=["one", "two"])
    note = await write(client, bearer(practice.coach.id), body)
    url = f"/v1/notes/{note['id']}"

    async def change(**fields: Any) -> dict[str, Any]:
        answer = await client.patch(url, json=fields, headers=bearer(practice.coach.id))
        assert answer.status_code == 200, answer.text
        return answer.json() | {"updated_at": note["updated_at"]}

    assert await change() == note
    assert await change(content="Sleeps well.") == note | {"content": "Sleeps well."}
    assert (await change(session_id=None, tags=[]))["session_id"] is None
    assert (await change())["tags"] == []


async def test_notes_are_listed_by_client_and_by_session_newest_first(
    client: httpx.AsyncClient, bearer: Bearer, practice: Practice, owner: Owner
) -> None:
    other = a_person(owner)
    make_client(owner, practice.coach, other)
    headers = bearer(practice.coach.id)
    first = await write(client, headers, practice.note())
    second = await write(client, headers, practice.note(session_id=str(practice.session)))
    third = await write(client, headers, practice.note(client_id=str(other.id)))

    async def listed(**asked: Any) -> list[str]:
        return [note["id"] for note in (await client.get("/v1/notes", params=asked, headers=headers)).json()["items"]]

    assert await listed() == [third["id"], second["id"], first["id"]]
    assert await listed(client_id=practice.client.id) == [second["id"], first["id"]]
    assert await listed(session_id=practice.session) == [second["id"]]
    assert await listed(client_id=uuid4()) == []
    page = (await client.get("/v1/notes", params={"limit": 2}, headers=headers)).json()
    assert await listed(cursor=page["next_cursor"]) == [first["id"]]


async def test_a_note_is_about_a_present_client_and_a_session_of_ones_own(
    client: httpx.AsyncClient, bearer: Bearer, practice: Practice, owner: Owner
) -> None:
    other_coach, stranger = a_coach(owner), a_person(owner)
    make_client(owner, other_coach, stranger)
    foreign = a_session(owner, other_coach, stranger)
    for body in (
        practice.note(client_id=str(stranger.id)),
        practice.note(client_id=str(uuid4())),
        practice.note(session_id=str(foreign)),
        practice.note(session_id=str(uuid4())),
    ):
        answer = await client.post("/v1/notes", json=body, headers=bearer(practice.coach.id))
        assert (answer.status_code, answer.json()["code"]) == (404, "not_found")
    note = await write(client, bearer(practice.coach.id), practice.note())
    moved = await client.patch(
        f"/v1/notes/{note['id']}", json={"session_id": str(foreign)}, headers=bearer(practice.coach.id)
    )
    assert moved.status_code == 404
    owner.execute("update public.coach_clients set status = 'ended' where coach_id = %s", [practice.coach.id])
    answer = await client.post("/v1/notes", json=practice.note(), headers=bearer(practice.coach.id))
    assert answer.status_code == 404


@pytest.mark.parametrize(
    "bad",
    [
        {"client_id": "dana"},
        {"client_id": None},
        {"session_id": "x"},
        {"title": ""},
        {"title": " \n"},
        {"title": "x" * 201},
        {"content": ""},
        {"content": "x" * 20_001},
        {"content": "a\x00b"},
        {"privacy_level": "public"},
        {"tags": ["x"] * 21},
        {"tags": ["x" * 51]},
        {"tags": [""]},
        {"tags": "sleep"},
        {"coach_id": str(uuid4())},
        {"created_at": "2020-01-01T00:00:00Z"},
    ],
)
async def test_a_bad_note_is_refused(
    client: httpx.AsyncClient, bearer: Bearer, practice: Practice, bad: dict[str, Any]
) -> None:
    answer = await client.post("/v1/notes", json=practice.note(**bad), headers=bearer(practice.coach.id))
    assert (answer.status_code, answer.json()["code"]) == (422, "invalid_request")
    assert (await client.get("/v1/notes", headers=bearer(practice.coach.id))).json()["items"] == []


async def test_a_deleted_note_is_gone(client: httpx.AsyncClient, bearer: Bearer, practice: Practice) -> None:
    note = await write(client, bearer(practice.coach.id), practice.note())
    url = f"/v1/notes/{note['id']}"
    assert (await client.delete(url, headers=bearer(practice.coach.id))).status_code == 204
    assert (await client.delete(url, headers=bearer(practice.coach.id))).status_code == 404
    assert (await client.get(url)).status_code == 401


def test_straight_in_sql_others_find_nothing_and_write_nothing(
    owner: Owner, practice: Practice, as_user: AsUser
) -> None:
    insert = "insert into public.coach_notes (coach_id, client_id, title, content) values (%s, %s, 'T', 'C')"
    with as_user(practice.coach.id) as conn:
        conn.execute(insert, [practice.coach.id, practice.client.id])
    for somebody in (a_coach(owner), a_person(owner), practice.client):
        with as_user(somebody.id) as conn:
            assert conn.execute("select * from public.coach_notes").fetchall() == []
            assert conn.execute("update public.coach_notes set title = 'Mine'").rowcount == 0
            assert conn.execute("delete from public.coach_notes").rowcount == 0
        with pytest.raises(psycopg.errors.InsufficientPrivilege), as_user(somebody.id) as conn:
            conn.execute(insert, [practice.coach.id, practice.client.id])
    with pytest.raises(psycopg.errors.InsufficientPrivilege), as_user(practice.coach.id) as conn:
        conn.execute("update public.coach_notes set client_id = %s", [a_person(owner).id])
