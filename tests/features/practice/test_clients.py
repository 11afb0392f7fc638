"""A coach's clients: by hand and before any account, kept, ended and taken up again; nobody else's business."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any
from uuid import uuid4

import httpx
import psycopg
import pytest

from tests.support.acting import AsRole, AsUser
from tests.support.people import Owner, Person, a_coach, a_person, make_client

Bearer = Callable[[Any], dict[str, str]]


@pytest.fixture
def coach(owner: Owner) -> Person:
    return a_coach(owner)


def new(name: str = "Dana", **more: Any) -> dict[str, Any]:
    return {"display_name": name, "email": f"{uuid4().hex[:10]}@example.com", **more}


async def add(client: httpx.AsyncClient, headers: dict[str, str], **more: Any) -> dict[str, Any]:
    answer = await client.post("/v1/clients", json=new(**more), headers=headers)
    assert answer.status_code == 201, answer.text
    return answer.json()


async def test_a_coach_adds_a_client_who_has_no_account(
    client: httpx.AsyncClient, bearer: Bearer, coach: Person
) -> None:
    body = {"display_name": " דנה לוי ", "email": "Dana.Levi@Example.com", "phone": "+972 50-123-4567"}
    answer = await client.post("/v1/clients", json=body, headers=bearer(coach.id))
    assert answer.status_code == 201
    added = answer.json()
    assert answer.headers["location"] == f"/v1/clients/{added['id']}"
    assert {name: added[name] for name in ("display_name", "email", "phone", "status", "source", "client_id")} == {
        "display_name": "דנה לוי",
        "email": "dana.levi@example.com",
        "phone": "+972 50-123-4567",
        "status": "active",
        "source": "manual",
        "client_id": None,
    }
    assert (await client.get(answer.headers["location"], headers=bearer(coach.id))).json() == added


async def test_the_same_address_twice_is_one_client(client: httpx.AsyncClient, bearer: Bearer, coach: Person) -> None:
    first = await add(client, bearer(coach.id))
    again = await client.post("/v1/clients", json=new() | {"email": first["email"].upper()}, headers=bearer(coach.id))
    assert again.status_code == 409
    assert again.json()["code"] == "client_exists"


async def test_of_many_who_add_the_same_client_at_once_one_succeeds(
    client: httpx.AsyncClient, bearer: Bearer, coach: Person
) -> None:
    body = new()
    answers = await asyncio.gather(*(client.post("/v1/clients", json=body, headers=bearer(coach.id)) for _ in range(8)))
    assert sorted(answer.status_code for answer in answers) == [201] + [409] * 7


async def test_two_coaches_may_have_the_same_client(
    client: httpx.AsyncClient, bearer: Bearer, coach: Person, owner: Owner
) -> None:
    body = new()
    for one in (coach, a_coach(owner)):
        assert (await client.post("/v1/clients", json=body, headers=bearer(one.id))).status_code == 201


async def test_a_repeated_request_with_its_key_adds_nothing_more(
    client: httpx.AsyncClient, bearer: Bearer, coach: Person
) -> None:
    headers, body = bearer(coach.id) | {"Idempotency-Key": str(uuid4())}, new()
    first = await client.post("/v1/clients", json=body, headers=headers)
    again = await client.post("/v1/clients", json=body, headers=headers)
    assert (again.status_code, again.json()) == (201, first.json())


async def test_the_list_is_newest_first_and_pages_without_gaps(
    client: httpx.AsyncClient, bearer: Bearer, coach: Person
) -> None:
    added = [(await add(client, bearer(coach.id)))["id"] for _ in range(5)]
    seen: list[str] = []
    cursor: str | None = None
    while True:
        asked = {"limit": "2"} | ({"cursor": cursor} if cursor else {})
        page = (await client.get("/v1/clients", params=asked, headers=bearer(coach.id))).json()
        assert len(page["items"]) <= 2
        seen += [item["id"] for item in page["items"]]
        cursor = page["next_cursor"]
        if cursor is None:
            break
    assert seen == added[::-1]


async def test_the_list_is_filtered_by_status_and_by_part_of_a_name(
    client: httpx.AsyncClient, bearer: Bearer, coach: Person, owner: Owner
) -> None:
    account = a_person(owner, "miriam")
    make_client(owner, coach, account)
    ended = await add(client, bearer(coach.id), name="100% Noa")
    await add(client, bearer(coach.id), name="Yael")
    await client.post(f"/v1/clients/{ended['id']}/end", headers=bearer(coach.id))

    async def names(**asked: str) -> list[str]:
        answer = await client.get("/v1/clients", params=asked, headers=bearer(coach.id))
        return [item["display_name"] for item in answer.json()["items"]]

    assert await names() == ["Yael", "100% Noa", "Miriam"]
    assert await names(status="ended") == ["100% Noa"]
    assert await names(status="active") == ["Yael", "Miriam"]
    assert await names(search="MIRI") == ["Miriam"]
    assert await names(search="0%") == ["100% Noa"]
    assert await names(search="%") == ["100% Noa"]


@pytest.mark.parametrize(
    "cursor", ["", "x", "bm90IGpzb24", "W10", "WzEsMl0", "WyIyMDI2LTAxLTAxIiwieCJd", "bnVsbA", "a" * 1001]
)
async def test_a_cursor_that_no_list_gave_is_refused(
    client: httpx.AsyncClient, bearer: Bearer, coach: Person, cursor: str
) -> None:
    answer = await client.get("/v1/clients", params={"cursor": cursor}, headers=bearer(coach.id))
    assert answer.status_code == 422
    assert answer.json()["code"] in {"invalid_cursor", "invalid_request"}


@pytest.mark.parametrize(
    "body",
    [
        {},
        {"email": "dana@example.com"},
        new(""),
        new("   "),
        new("x" * 201),
        new("nul\x00"),
        new(email="dana"),
        new(email="dana@"),
        new(email="da na@example.com"),
        new(email="dánä@example.com"),
        new(email=f"{'x' * 300}@example.com"),
        new(email="dana@example.com\r\nBcc: all@example.com"),
        new(phone="1"),
        new(phone="call me"),
        new(phone="0" * 41),
        new(status="active"),
        new(coach_id=str(uuid4())),
        new(client_id=str(uuid4())),
        [],
        "Dana",
        None,
    ],
)
async def test_a_bad_client_is_refused(client: httpx.AsyncClient, bearer: Bearer, coach: Person, body: Any) -> None:
    answer = await client.post("/v1/clients", json=body, headers=bearer(coach.id))
    assert answer.status_code == 422, answer.text
    assert answer.headers["content-type"] == "application/problem+json"
    assert (await client.get("/v1/clients", headers=bearer(coach.id))).json()["items"] == []


@pytest.mark.parametrize("name", ["Dana \u202eyvel", "Le\u200bvi", "Dana\nLevi", "\u2067levi\u2069"])
async def test_a_name_that_could_pass_for_another_is_refused(
    client: httpx.AsyncClient, bearer: Bearer, coach: Person, name: str
) -> None:
    added = await add(client, bearer(coach.id))
    answers = [
        await client.post("/v1/clients", json=new(name), headers=bearer(coach.id)),
        await client.patch(f"/v1/clients/{added['id']}", json={"display_name": name}, headers=bearer(coach.id)),
    ]
    assert [(answer.status_code, answer.json()["code"]) for answer in answers] == [(422, "name_invalid")] * 2


async def test_a_change_touches_only_what_was_sent(client: httpx.AsyncClient, bearer: Bearer, coach: Person) -> None:
    added = await add(client, bearer(coach.id), phone="050 1234567")
    url = f"/v1/clients/{added['id']}"
    changed = await client.patch(url, json={"display_name": "Dana Levi"}, headers=bearer(coach.id))
    assert changed.status_code == 200
    assert changed.json() | {"updated_at": None} == added | {"display_name": "Dana Levi", "updated_at": None}
    cleared = await client.patch(url, json={"phone": None, "email": None}, headers=bearer(coach.id))
    assert (cleared.json()["phone"], cleared.json()["email"]) == (None, None)
    for body in ({"display_name": None}, {"status": "ended"}, {"email": "x"}, {"display_name": "\x00"}):
        assert (await client.patch(url, json=body, headers=bearer(coach.id))).status_code == 422


async def test_an_address_cannot_change_into_another_clients(
    client: httpx.AsyncClient, bearer: Bearer, coach: Person
) -> None:
    one, other = [await add(client, bearer(coach.id)) for _ in range(2)]
    answer = await client.patch(f"/v1/clients/{one['id']}", json={"email": other["email"]}, headers=bearer(coach.id))
    assert (answer.status_code, answer.json()["code"]) == (409, "client_exists")


async def test_the_address_of_an_account_is_not_the_coachs_to_change(
    client: httpx.AsyncClient, bearer: Bearer, coach: Person, owner: Owner
) -> None:
    relation = make_client(owner, coach, a_person(owner))
    answer = await client.patch(f"/v1/clients/{relation}", json={"email": "x@example.com"}, headers=bearer(coach.id))
    assert (answer.status_code, answer.json()["code"]) == (409, "client_has_account")


async def test_an_ended_client_keeps_the_name_and_can_be_taken_up_again(
    client: httpx.AsyncClient, bearer: Bearer, coach: Person, owner: Owner
) -> None:
    relation = make_client(owner, coach, a_person(owner, "noa"))
    ended = await client.post(f"/v1/clients/{relation}/end", headers=bearer(coach.id))
    assert (ended.status_code, ended.json()["status"], ended.json()["display_name"]) == (200, "ended", "Noa")
    assert ended.json()["ended_at"] is not None
    again = await client.post(f"/v1/clients/{relation}/resume", headers=bearer(coach.id))
    assert (again.json()["status"], again.json()["ended_at"]) == ("active", None)


async def test_a_client_who_left_is_not_taken_back_without_asking(
    client: httpx.AsyncClient, bearer: Bearer, coach: Person, owner: Owner
) -> None:
    person = a_person(owner)
    relation = make_client(owner, coach, person)
    left = await client.post(f"/v1/clients/{relation}/leave", headers=bearer(person.id))
    assert left.status_code == 204
    assert (await client.get("/v1/coaches", headers=bearer(person.id))).json()["items"] == []
    answer = await client.post(f"/v1/clients/{relation}/resume", headers=bearer(coach.id))
    assert (answer.status_code, answer.json()["code"]) == (409, "invitation_open")


async def test_a_client_sees_the_relation_and_the_coach_but_changes_nothing(
    client: httpx.AsyncClient, bearer: Bearer, coach: Person, owner: Owner
) -> None:
    person = a_person(owner)
    relation = make_client(owner, coach, person)
    headers = bearer(person.id)
    assert (await client.get(f"/v1/clients/{relation}", headers=headers)).status_code == 200
    coaches = (await client.get("/v1/coaches", headers=headers)).json()["items"]
    assert [(one["id"], one["coach_id"], one["name"]) for one in coaches] == [(str(relation), str(coach.id), "Coach")]
    assert (await client.get("/v1/clients", headers=headers)).json()["items"] == []
    assert (
        await client.patch(f"/v1/clients/{relation}", json={"phone": "0501234567"}, headers=headers)
    ).status_code == 404
    for verb in ("end", "resume", "invite"):
        assert (await client.post(f"/v1/clients/{relation}/{verb}", headers=headers)).status_code == 404


async def test_somebody_elses_client_answers_like_one_that_does_not_exist(
    client: httpx.AsyncClient, bearer: Bearer, coach: Person, owner: Owner
) -> None:
    theirs = (await add(client, bearer(coach.id)))["id"]
    for stranger in (a_coach(owner), a_person(owner)):
        for verb, suffix, body in (
            ("GET", "", None),
            ("PATCH", "", {"display_name": "Mine"}),
            ("POST", "/invite", None),
            ("POST", "/end", None),
            ("POST", "/resume", None),
            ("POST", "/leave", None),
        ):
            answers = [
                await client.request(verb, f"/v1/clients/{some_id}{suffix}", json=body, headers=bearer(stranger.id))
                for some_id in (theirs, uuid4())
            ]
            seen = {(answer.status_code, answer.json()["code"], answer.json()["detail"]) for answer in answers}
            assert len(seen) == 1, (verb, suffix)
            assert answers[0].status_code == 404
    kept = (await client.get(f"/v1/clients/{theirs}", headers=bearer(coach.id))).json()
    assert (kept["display_name"], kept["status"]) == ("Dana", "active")


async def test_who_is_no_coach_adds_no_clients(client: httpx.AsyncClient, bearer: Bearer, owner: Owner) -> None:
    assert (await client.post("/v1/clients", json=new(), headers=bearer(a_person(owner).id))).status_code == 404
    assert (await client.post("/v1/clients", json=new())).status_code == 401


def test_a_coach_cannot_tie_an_account_or_add_for_another_coach(owner: Owner, coach: Person, as_user: AsUser) -> None:
    other, person = a_coach(owner), a_person(owner)
    with pytest.raises(psycopg.errors.InsufficientPrivilege), as_user(coach.id) as conn:
        conn.execute("insert into public.coach_clients (coach_id, client_id) values (%s, %s)", [coach.id, person.id])
    with pytest.raises(psycopg.errors.InsufficientPrivilege), as_user(coach.id) as conn:
        conn.execute("insert into public.coach_clients (coach_id, display_name) values (%s, 'X')", [other.id])
    with pytest.raises(psycopg.errors.InsufficientPrivilege), as_user(coach.id) as conn:
        conn.execute("update public.coach_clients set client_id = %s", [person.id])
    with pytest.raises(psycopg.errors.InsufficientPrivilege), as_user(coach.id) as conn:
        conn.execute("delete from public.coach_clients")


def test_nobody_who_is_not_authenticated_reaches_clients(as_role: AsRole) -> None:
    for statement in (
        "select * from public.coach_clients",
        f"select public.invite_client('{uuid4()}')",
        f"select * from public.coach_hours('{uuid4()}')",
        "select * from public.my_coach_invitations()",
    ):
        with pytest.raises(psycopg.errors.InsufficientPrivilege), as_role("anon") as conn:
            conn.execute(statement)
