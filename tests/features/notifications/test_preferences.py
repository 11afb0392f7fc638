"""Where people want to hear of what: one row each from the start, changed in parts, with sensible quiet hours."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any
from uuid import uuid4

import httpx
import psycopg
import pytest

from tests.support.acting import AsUser
from tests.support.people import Owner, Person, a_person

Bearer = Callable[[Any], dict[str, str]]
URL = "/v1/notifications/preferences"


@pytest.fixture
def person(owner: Owner) -> Person:
    return a_person(owner)


async def test_everybody_has_choices_from_the_start(client: httpx.AsyncClient, bearer: Bearer, person: Person) -> None:
    answer = await client.get(URL, headers=bearer(person.id))
    assert answer.status_code == 200
    choices = answer.json()
    assert (choices["email_enabled"], choices["email_marketing"], choices["push_enabled"]) == (True, False, False)
    assert (choices["quiet_hours_enabled"], choices["quiet_hours_start"], choices["quiet_hours_end"]) == (
        False, "22:00", "08:00",
    )  # fmt: skip
    assert (choices["digest_frequency"], choices["timezone"]) == ("daily", "UTC")


async def test_a_change_touches_only_what_was_sent_and_only_ones_own(
    client: httpx.AsyncClient, bearer: Bearer, person: Person, owner: Owner
) -> None:
    other = a_person(owner)
    theirs = (await client.get(URL, headers=bearer(other.id))).json()
    before = (await client.get(URL, headers=bearer(person.id))).json()
    change = {
        "email_messages": False,
        "push_enabled": True,
        "quiet_hours_enabled": True,
        "quiet_hours_start": "21:30",
        "quiet_hours_end": "07:05",
        "timezone": "Asia/Jerusalem",
        "digest_frequency": "never",
    }
    changed = await client.patch(URL, json=change, headers=bearer(person.id))
    assert changed.status_code == 200, changed.text
    assert changed.json() | {"updated_at": None} == before | change | {"updated_at": None}
    back = await client.patch(URL, json={"email_messages": True}, headers=bearer(person.id))
    assert (back.json()["email_messages"], back.json()["push_enabled"]) == (True, True)
    assert (await client.get(URL, headers=bearer(other.id))).json() == theirs


@pytest.mark.parametrize(
    ("change", "code"),
    [
        ({"timezone": "Mars/Olympus"}, "timezone_unknown"),
        ({"timezone": "Foo/Bar3"}, "timezone_unknown"),
        ({"timezone": "+02:00"}, "timezone_unknown"),
        ({"timezone": None}, "invalid_request"),
        ({"timezone": "UTC\x00"}, "invalid_request"),
        (
            {"quiet_hours_enabled": True, "quiet_hours_start": "22:00", "quiet_hours_end": "22:00"},
            "quiet_hours_invalid",
        ),
        ({"quiet_hours_start": "24:00"}, "invalid_request"),
        ({"quiet_hours_start": "9:00"}, "invalid_request"),
        ({"quiet_hours_start": "22:60"}, "invalid_request"),
        ({"quiet_hours_end": "08:00:00"}, "invalid_request"),
        ({"quiet_hours_end": "08:00+02:00"}, "invalid_request"),
        ({"quiet_hours_end": 800}, "invalid_request"),
        ({"quiet_hours_end": None}, "invalid_request"),
        ({"quiet_hours_enabled": "yes"}, "invalid_request"),
        ({"email_enabled": None}, "invalid_request"),
        ({"email_enabled": 1}, "invalid_request"),
        ({"digest_frequency": "yearly"}, "invalid_request"),
        ({"user_id": str(uuid4())}, "invalid_request"),
        ({"sms_enabled": True}, "invalid_request"),
        ([], "invalid_request"),
    ],
)
async def test_a_bad_choice_is_refused_with_everything_that_came_with_it(
    client: httpx.AsyncClient, bearer: Bearer, person: Person, change: Any, code: str
) -> None:
    before = (await client.get(URL, headers=bearer(person.id))).json()
    body = {"email_marketing": True} | change if isinstance(change, dict) else change
    answer = await client.patch(URL, json=body, headers=bearer(person.id))
    assert (answer.status_code, answer.json()["code"]) == (422, code)
    assert (await client.get(URL, headers=bearer(person.id))).json() == before


async def test_equal_hours_wait_for_being_switched_on_to_be_refused(
    client: httpx.AsyncClient, bearer: Bearer, person: Person
) -> None:
    off = {"quiet_hours_start": "10:00", "quiet_hours_end": "10:00"}
    assert (await client.patch(URL, json=off, headers=bearer(person.id))).status_code == 200
    on = await client.patch(URL, json={"quiet_hours_enabled": True}, headers=bearer(person.id))
    assert (on.status_code, on.json()["code"]) == (422, "quiet_hours_invalid")


async def test_choices_need_somebody_to_be_signed_in(client: httpx.AsyncClient, bearer: Bearer, owner: Owner) -> None:
    assert (await client.get(URL)).status_code == 401
    assert (await client.patch(URL, json={})).status_code == 401
    suspended = a_person(owner)
    owner.execute("update public.users set status = 'suspended' where id = %s", [suspended.id])
    assert (await client.get(URL, headers=bearer(suspended.id))).status_code == 404
    assert (await client.get(URL, headers=bearer(uuid4()))).status_code == 404


def test_straight_in_sql_choices_are_ones_own(owner: Owner, person: Person, as_user: AsUser) -> None:
    stranger = a_person(owner)
    with as_user(stranger.id) as conn:
        rows = conn.execute("select user_id from public.notification_preferences").fetchall()
        assert rows == [{"user_id": stranger.id}]
        assert conn.execute("update public.notification_preferences set email_enabled = false").rowcount == 1
    for statement in (
        f"insert into public.notification_preferences (user_id) values ('{uuid4()}')",
        "delete from public.notification_preferences",
        f"update public.notification_preferences set user_id = '{person.id}'",
    ):
        with pytest.raises(psycopg.errors.InsufficientPrivilege), as_user(stranger.id) as conn:
            conn.execute(statement)
    row = owner.execute(
        "select email_enabled from public.notification_preferences where user_id = %s", [person.id]
    ).fetchone()
    assert row == {"email_enabled": True}
