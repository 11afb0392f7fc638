"""What a person is told: listed with the unread count, read, put away, and nobody else's."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any
from uuid import UUID, uuid4

import httpx
import psycopg
import pytest

from tests.support.acting import AsRole, AsUser
from tests.support.people import Owner, Person, a_person

Bearer = Callable[[Any], dict[str, str]]


@pytest.fixture
def person(owner: Owner) -> Person:
    return a_person(owner)


def tell(owner: Owner, person: Person, title: str = "Session tomorrow", **columns: Any) -> str:
    row = owner.execute(
        "select private.notify(%s, 'session_reminder', %s, 'At nine.', '{\"n\": 1}', '/sessions') as id",
        [person.id, title],
    ).fetchone()
    assert row is not None
    for column, value in columns.items():
        owner.execute(f"update public.notifications set {column} = {value} where id = %s", [row["id"]])
    return str(UUID(str(row["id"])))


async def listed(client: httpx.AsyncClient, headers: dict[str, str], **asked: Any) -> dict[str, Any]:
    answer = await client.get("/v1/notifications", params=asked, headers=headers)
    assert answer.status_code == 200, answer.text
    return answer.json()


async def test_the_list_is_newest_first_with_the_unread_count(
    client: httpx.AsyncClient, bearer: Bearer, person: Person, owner: Owner
) -> None:
    headers = bearer(person.id)
    assert await listed(client, headers) == {"items": [], "next_cursor": None, "unread_count": 0}
    told = [tell(owner, person, title) for title in ("one", "two", "three")]
    page = await listed(client, headers, limit=2)
    assert [item["id"] for item in page["items"]] == [told[2], told[1]]
    assert page["unread_count"] == 3
    rest = await listed(client, headers, limit=2, cursor=page["next_cursor"])
    assert ([item["id"] for item in rest["items"]], rest["next_cursor"]) == ([told[0]], None)
    item = rest["items"][0]
    assert (item["title"], item["message"], item["data"], item["action_url"], item["priority"], item["read_at"]) == (
        "one", "At nine.", {"n": 1}, "/sessions", "normal", None,
    )  # fmt: skip
    assert (await client.get(f"/v1/notifications/{told[0]}", headers=headers)).json() == item


async def test_reading_one_counts_down_and_the_first_time_stays(
    client: httpx.AsyncClient, bearer: Bearer, person: Person, owner: Owner
) -> None:
    first, second = tell(owner, person), tell(owner, person)
    read = await client.post(f"/v1/notifications/{first}/read", headers=bearer(person.id))
    assert read.status_code == 200
    assert read.json()["read_at"] is not None
    again = await client.post(f"/v1/notifications/{first}/read", headers=bearer(person.id))
    assert again.json() == read.json()
    left = await listed(client, bearer(person.id), unread=True)
    assert ([item["id"] for item in left["items"]], left["unread_count"]) == ([second], 1)
    assert len((await listed(client, bearer(person.id)))["items"]) == 2


async def test_reading_all_reads_ones_own_only(
    client: httpx.AsyncClient, bearer: Bearer, person: Person, owner: Owner
) -> None:
    other = a_person(owner)
    tell(owner, other)
    for _ in range(3):
        tell(owner, person)
    answer = await client.post("/v1/notifications/read-all", headers=bearer(person.id))
    assert answer.json() == {"marked": 3}
    assert (await client.post("/v1/notifications/read-all", headers=bearer(person.id))).json() == {"marked": 0}
    assert (await listed(client, bearer(person.id)))["unread_count"] == 0
    assert (await listed(client, bearer(other.id)))["unread_count"] == 1


async def test_what_is_not_due_or_over_or_for_another_channel_is_not_shown(
    client: httpx.AsyncClient, bearer: Bearer, person: Person, owner: Owner
) -> None:
    tell(owner, person, scheduled_for="now() + interval '1 hour'")
    tell(owner, person, expires_at="now() - interval '1 second'")
    tell(owner, person, channel="'email'")
    shown = tell(
        owner,
        person,
        scheduled_for="now() - interval '1 hour'",
        expires_at="now() + interval '1 hour'",
        channel="null",
        priority="null",
    )
    page = await listed(client, bearer(person.id))
    assert ([item["id"] for item in page["items"]], page["unread_count"]) == ([shown], 1)
    assert page["items"][0]["priority"] == "normal"


async def test_one_that_was_put_away_is_gone(
    client: httpx.AsyncClient, bearer: Bearer, person: Person, owner: Owner
) -> None:
    url = f"/v1/notifications/{tell(owner, person)}"
    assert (await client.delete(url, headers=bearer(person.id))).status_code == 204
    assert (await client.delete(url, headers=bearer(person.id))).status_code == 404
    assert (await listed(client, bearer(person.id)))["items"] == []


async def test_somebody_elses_answers_like_one_that_does_not_exist(
    client: httpx.AsyncClient, bearer: Bearer, person: Person, owner: Owner
) -> None:
    theirs, stranger = tell(owner, person), a_person(owner)
    admin = a_person(owner, role="admin")
    for verb, suffix in (("GET", ""), ("POST", "/read"), ("DELETE", "")):
        for somebody in (stranger, admin):
            answers = [
                await client.request(verb, f"/v1/notifications/{some_id}{suffix}", headers=bearer(somebody.id))
                for some_id in (theirs, uuid4())
            ]
            assert [answer.status_code for answer in answers] == [404, 404]
            assert answers[0].json()["detail"] == answers[1].json()["detail"]
        assert (await client.request(verb, f"/v1/notifications/{theirs}{suffix}")).status_code == 401
    assert (await listed(client, bearer(admin.id)))["items"] == [], "a list is one's own, an admin's too"
    assert (await listed(client, bearer(person.id)))["unread_count"] == 1


@pytest.mark.parametrize(
    "asked", [{"limit": 0}, {"limit": 201}, {"limit": "x"}, {"unread": "perhaps"}, {"cursor": "x"}]
)
async def test_a_bad_question_is_refused(
    client: httpx.AsyncClient, bearer: Bearer, person: Person, asked: dict[str, Any]
) -> None:
    assert (await client.get("/v1/notifications", params=asked, headers=bearer(person.id))).status_code == 422
    assert (await client.get("/v1/notifications/x", headers=bearer(person.id))).status_code == 422


def test_straight_in_sql_nobody_tells_anybody_anything(
    owner: Owner, person: Person, as_user: AsUser, as_role: AsRole
) -> None:
    told = tell(owner, person)
    stranger = a_person(owner)
    for statement in (
        "insert into public.notifications (type, title, message) values ('welcome_message', 'x', 'y')",
        "update public.notifications set title = 'x'",
        "update public.notifications set user_id = user_id",
        f"select private.notify('{stranger.id}', 'welcome_message', 'x', 'y')",
    ):
        with pytest.raises(psycopg.errors.InsufficientPrivilege), as_user(person.id) as conn:
            conn.execute(statement)
    with as_user(stranger.id) as conn:
        assert conn.execute("select * from public.notifications").fetchall() == []
        assert conn.execute("update public.notifications set read_at = now()").rowcount == 0
        assert conn.execute("delete from public.notifications").rowcount == 0
    with pytest.raises(psycopg.errors.InsufficientPrivilege), as_role("anon") as conn:
        conn.execute("select * from public.notifications")
    row = owner.execute("select read_at from public.notifications where id = %s", [told]).fetchone()
    assert row == {"read_at": None}
