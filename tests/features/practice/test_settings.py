"""The practice's settings: read by its people, changed by its owners."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import httpx
import psycopg
import pytest

from tests.support.acting import AsUser
from tests.support.people import Owner, Person, a_coach, a_person

Bearer = Callable[[Any], dict[str, str]]


@pytest.fixture
def coach(owner: Owner) -> Person:
    return a_coach(owner, "rivka")


async def test_every_coach_has_a_practice_from_the_first_moment(
    client: httpx.AsyncClient, bearer: Bearer, coach: Person
) -> None:
    practice = (await client.get("/v1/practice", headers=bearer(coach.id))).json()
    shown = {name: practice[name] for name in ("name", "email", "country", "currency", "timezone", "tax_rate_bp")}
    assert shown == {
        "name": "Rivka",
        "email": coach.email,
        "country": "IL",
        "currency": "ILS",
        "timezone": "Asia/Jerusalem",
        "tax_rate_bp": 0,
    }


async def test_the_owner_changes_settings_and_the_rest_stays(
    client: httpx.AsyncClient, bearer: Bearer, coach: Person, owner: Owner
) -> None:
    other = a_coach(owner, "other")
    before = (await client.get("/v1/practice", headers=bearer(coach.id))).json()
    theirs = (await client.get("/v1/practice", headers=bearer(other.id))).json()
    change = {
        "name": "רבקה אימון",
        "legal_name": "Rivka Coaching Ltd",
        "tax_id": "514000000",
        "address": "1 Herzl St, Haifa",
        "phone": "+972 4 1234567",
        "country": "DE",
        "currency": "EUR",
        "timezone": "Europe/Berlin",
        "language": "he",
        "tax_rate_bp": 1900,
        "invoice_due_days": 30,
    }
    changed = await client.patch("/v1/practice", json=change, headers=bearer(coach.id))
    assert changed.status_code == 200, changed.text
    assert changed.json() | {"updated_at": None} == before | change | {"updated_at": None}
    cleared = await client.patch("/v1/practice", json={"legal_name": None}, headers=bearer(coach.id))
    assert (cleared.json()["legal_name"], cleared.json()["tax_id"]) == (None, "514000000")
    assert (await client.get("/v1/practice", headers=bearer(other.id))).json() == theirs


@pytest.mark.parametrize(
    ("change", "code"),
    [
        ({"timezone": "Asia/Atlantis"}, "timezone_unknown"),
        ({"timezone": "EST"}, "timezone_unknown"),
        ({"timezone": None}, "invalid_request"),
        ({"currency": "XYZ"}, "currency_unknown"),
        ({"currency": "ils"}, "invalid_request"),
        ({"currency": "ILS\n"}, "invalid_request"),
        ({"country": "Israel"}, "invalid_request"),
        ({"country": "il"}, "invalid_request"),
        ({"name": ""}, "invalid_request"),
        ({"name": None}, "invalid_request"),
        ({"name": "x" * 201}, "invalid_request"),
        ({"name": "a\x00"}, "invalid_request"),
        ({"tax_rate_bp": -1}, "invalid_request"),
        ({"tax_rate_bp": 10_001}, "invalid_request"),
        ({"tax_rate_bp": 17.5}, "invalid_request"),
        ({"tax_rate_bp": "1800"}, "invalid_request"),
        ({"tax_rate_bp": 10**30}, "invalid_request"),
        ({"invoice_due_days": 366}, "invalid_request"),
        ({"language": "fr"}, "invalid_request"),
        ({"email": "not an address"}, "invalid_request"),
        ({"address": "x" * 501}, "invalid_request"),
        ({"tax_id": "x" * 41}, "invalid_request"),
        ({"metadata": {}}, "invalid_request"),
        ({"id": "x"}, "invalid_request"),
        ([], "invalid_request"),
    ],
)
async def test_a_bad_setting_is_refused_with_everything_that_came_with_it(
    client: httpx.AsyncClient, bearer: Bearer, coach: Person, change: Any, code: str
) -> None:
    before = (await client.get("/v1/practice", headers=bearer(coach.id))).json()
    body = {"phone": "+972 4 7654321"} | change if isinstance(change, dict) else change
    answer = await client.patch("/v1/practice", json=body, headers=bearer(coach.id))
    assert (answer.status_code, answer.json()["code"]) == (422, code)
    assert (await client.get("/v1/practice", headers=bearer(coach.id))).json() == before


async def test_a_coach_who_joined_a_practice_reads_it_and_changes_nothing(
    client: httpx.AsyncClient, bearer: Bearer, coach: Person, owner: Owner
) -> None:
    joined = a_coach(owner, "joined")
    owner.execute(
        "update public.practice_members set role = 'coach', practice_id ="
        " (select practice_id from public.practice_members where user_id = %s) where user_id = %s",
        [coach.id, joined.id],
    )
    practice = (await client.get("/v1/practice", headers=bearer(coach.id))).json()
    assert (await client.get("/v1/practice", headers=bearer(joined.id))).json() == practice
    assert (await client.patch("/v1/practice", json={"name": "Ours"}, headers=bearer(joined.id))).status_code == 404
    assert (await client.get("/v1/practice", headers=bearer(coach.id))).json() == practice


async def test_who_is_no_coach_has_no_practice(client: httpx.AsyncClient, bearer: Bearer, owner: Owner) -> None:
    person = a_person(owner)
    assert (await client.get("/v1/practice", headers=bearer(person.id))).status_code == 404
    assert (await client.patch("/v1/practice", json={"name": "Mine"}, headers=bearer(person.id))).status_code == 404
    assert (await client.get("/v1/practice")).status_code == 401


def test_straight_in_sql_a_practice_is_not_made_or_joined_by_hand(owner: Owner, coach: Person, as_user: AsUser) -> None:
    other = a_coach(owner)
    for statement in (
        "insert into public.practices (name) values ('Mine')",
        "delete from public.practices",
        "update public.practice_members set role = 'owner'",
        f"insert into public.practice_members (practice_id, user_id) values (gen_random_uuid(), '{coach.id}')",
    ):
        with pytest.raises(psycopg.errors.InsufficientPrivilege), as_user(coach.id) as conn:
            conn.execute(statement)
    with as_user(coach.id) as conn:
        assert len(conn.execute("select * from public.practices").fetchall()) == 1
        assert conn.execute("update public.practices set name = 'All mine'").rowcount == 1
    row = owner.execute(
        "select p.name from public.practices p join public.practice_members m on m.practice_id = p.id"
        " where m.user_id = %s",
        [other.id],
    ).fetchone()
    assert row == {"name": "Coach"}
