"""Profiles: one's own, other people's, and what admins change."""

from __future__ import annotations

import json
from uuid import UUID, uuid4

import httpx
import psycopg
import pytest
from psycopg.rows import DictRow

from tests.features.identity.conftest import MakePerson, Person, as_bearer, signed_in

Owner = psycopg.Connection[DictRow]


async def headers(client: httpx.AsyncClient, somebody: Person) -> dict[str, str]:
    return as_bearer(await signed_in(client, somebody))


def relate(owner: Owner, coach: Person, client: Person) -> None:
    owner.execute("select private.relate(%s, %s, 'invitation')", [coach.id, client.id])


async def test_a_profile_changes_only_where_it_is_told_to(client: httpx.AsyncClient, person: MakePerson) -> None:
    auth = await headers(client, await person())
    # Joiners and plain marks of direction belong to names and emoji.
    first = {
        "first_name": "נועה\u200f 👩\u200d🏫",
        "phone": "+972 50 123 4567",
        "timezone": "Asia/Jerusalem",
        "language": "he",
    }
    assert (await client.patch("/v1/me", json=first, headers=auth)).status_code == 200
    second = await client.patch("/v1/me", json={"phone": None, "last_name": "כהן"}, headers=auth)
    shown = (await client.get("/v1/me", headers=auth)).json()
    assert second.json() == shown
    assert (shown["first_name"], shown["last_name"], shown["phone"]) == (first["first_name"], "כהן", None)
    assert (shown["timezone"], shown["language"]) == ("Asia/Jerusalem", "he")


@pytest.mark.parametrize(
    ("change", "code"),
    [
        ({"timezone": "Asia/Nowhere"}, "timezone_unknown"),
        ({"role": "admin"}, "invalid_request"),
        ({"status": "active"}, "invalid_request"),
        ({"email": "other@people.test"}, "invalid_request"),
        ({"first_name": "nul\x00byte"}, "invalid_request"),
        ({"first_name": "half \ud83d"}, "invalid_request"),
        ({"first_name": "Dana \u202eyvel"}, "name_invalid"),
        ({"last_name": "Le\u200bvi"}, "name_invalid"),
        ({"last_name": "\u2067levi\u2069"}, "name_invalid"),
        ({"avatar_url": "javascript:alert(1)"}, "invalid_request"),
        ({"language": "fr"}, "invalid_request"),
    ],
)
async def test_a_profile_takes_no_odd_values(
    client: httpx.AsyncClient, person: MakePerson, change: dict[str, str], code: str
) -> None:
    auth = await headers(client, await person())
    before = (await client.get("/v1/me", headers=auth)).json()
    answer = await client.patch(
        "/v1/me", content=json.dumps(change), headers=auth | {"Content-Type": "application/json"}
    )
    assert (answer.status_code, answer.json()["code"]) == (422, code)
    assert (await client.get("/v1/me", headers=auth)).json() == before


async def test_a_coach_sees_the_own_clients_and_nobody_elses(
    client: httpx.AsyncClient, person: MakePerson, owner: Owner
) -> None:
    coach, other_coach = await person("coach"), await person("coach")
    mine, theirs = await person(), await person()
    relate(owner, coach, mine)
    relate(owner, other_coach, theirs)
    auth = await headers(client, coach)
    listed = (await client.get("/v1/users", headers=auth)).json()["items"]
    assert {item["id"] for item in listed} == {str(coach.id), str(mine.id)}
    assert (await client.get(f"/v1/users/{mine.id}", headers=auth)).status_code == 200


async def test_a_strangers_id_and_a_random_one_get_the_same_answer(
    client: httpx.AsyncClient, person: MakePerson
) -> None:
    stranger = await person()
    auth = await headers(client, await person()) | {"X-Request-Id": "the-same-id"}
    answers = [await client.get(f"/v1/users/{user_id}", headers=auth) for user_id in (stranger.id, uuid4())]
    assert answers[0].status_code == 404
    assert answers[0].content == answers[1].content
    body = {"role": "coach"}
    answers = [
        await client.post(f"/v1/users/{user_id}/set-role", json=body, headers=auth)
        for user_id in (stranger.id, uuid4())
    ]
    assert answers[0].status_code == 404
    assert answers[0].content == answers[1].content


async def test_an_admin_pages_through_everybody_without_gaps(client: httpx.AsyncClient, person: MakePerson) -> None:
    admin = await person("admin")
    made = {str((await person()).id) for _ in range(5)} | {str(admin.id)}
    auth = await headers(client, admin)
    seen: list[str] = []
    cursor: str | None = None
    while True:
        params: dict[str, str | int] = {"limit": 2} | ({"cursor": cursor} if cursor else {})
        page = (await client.get("/v1/users", params=params, headers=auth)).json()
        assert len(page["items"]) <= 2
        seen += [item["id"] for item in page["items"]]
        cursor = page["next_cursor"]
        if cursor is None:
            break
    assert len(seen) == len(set(seen))
    assert made <= set(seen)
    coaches = (await client.get("/v1/users", params={"role": "admin"}, headers=auth)).json()["items"]
    assert {item["role"] for item in coaches} == {"admin"}
    found = (await client.get("/v1/users", params={"search": admin.email[:12]}, headers=auth)).json()["items"]
    assert [item["id"] for item in found] == [str(admin.id)]


@pytest.mark.parametrize("cursor", ["x", "bm90IGpzb24", "W10", "WyIxIl0", "WyJhIiwiYiJd", "é"])
async def test_a_made_up_cursor_is_refused(client: httpx.AsyncClient, person: MakePerson, cursor: str) -> None:
    auth = await headers(client, await person())
    answer = await client.get("/v1/users", params={"cursor": cursor}, headers=auth)
    assert answer.status_code == 422
    assert answer.json()["code"] in {"invalid_cursor", "invalid_value"}


async def test_an_admin_changes_roles_and_states_with_an_audit(
    client: httpx.AsyncClient, person: MakePerson, owner: Owner
) -> None:
    admin, somebody = await person("admin"), await person()
    auth = await headers(client, admin)
    theirs = await signed_in(client, somebody)
    raised = await client.post(
        f"/v1/users/{somebody.id}/set-role", json={"role": "coach", "reason": "asked"}, headers=auth
    )
    assert (raised.status_code, raised.json()["role"]) == (200, "coach")
    stopped = await client.post(f"/v1/users/{somebody.id}/set-status", json={"status": "suspended"}, headers=auth)
    assert (stopped.status_code, stopped.json()["status"]) == (200, "suspended")
    refused = await client.post("/v1/auth/refresh", json={"refresh_token": theirs["refresh_token"]})
    assert refused.status_code == 401
    events = owner.execute(
        "select event, actor_id from private.identity_events"
        " where user_id = %s and actor_id is not null order by created_at",
        [somebody.id],
    ).fetchall()
    assert [(row["event"], UUID(str(row["actor_id"]))) for row in events] == [
        ("role_changed", admin.id),
        ("status_changed", admin.id),
    ]


async def test_nobody_raises_themselves(client: httpx.AsyncClient, person: MakePerson) -> None:
    for role in ("client", "coach"):
        somebody = await person(role)
        auth = await headers(client, somebody)
        answer = await client.post(f"/v1/users/{somebody.id}/set-role", json={"role": "admin"}, headers=auth)
        assert answer.status_code == 404
        assert (await client.get("/v1/me", headers=auth)).json()["role"] == role
