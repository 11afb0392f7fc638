"""A coach's week: replaced whole, read by the coach, shown to others without what is only the coach's."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any
from uuid import uuid4

import httpx
import psycopg
import pytest

from tests.support.acting import AsUser
from tests.support.people import Owner, Person, a_coach, a_person

Bearer = Callable[[Any], dict[str, str]]


@pytest.fixture
def coach(owner: Owner) -> Person:
    return a_coach(owner)


def week(*ranges: tuple[int, str, str], timezone: str = "Asia/Jerusalem") -> dict[str, Any]:
    return {
        "timezone": timezone,
        "ranges": [{"day_of_week": day, "start_time": start, "end_time": end} for day, start, end in ranges],
    }


def hours(answer: httpx.Response) -> list[tuple[int, str, str]]:
    return [(one["day_of_week"], one["start_time"], one["end_time"]) for one in answer.json()["ranges"]]


async def test_a_coach_sets_the_week_and_reads_it_back_in_order(
    client: httpx.AsyncClient, bearer: Bearer, coach: Person
) -> None:
    body = week((3, "16:00", "24:00"), (0, "13:00", "17:00"), (0, "09:00", "12:45"))
    answer = await client.put("/v1/availability", json=body, headers=bearer(coach.id))
    assert answer.status_code == 200, answer.text
    assert hours(answer) == [(0, "09:00", "12:45"), (0, "13:00", "17:00"), (3, "16:00", "24:00")]
    read = await client.get("/v1/availability", headers=bearer(coach.id))
    assert read.json() == answer.json()
    assert {one["timezone"] for one in read.json()["ranges"]} == {"Asia/Jerusalem"}


async def test_an_unchanged_range_does_not_collide_with_itself_or_with_a_switched_off_one(
    client: httpx.AsyncClient, bearer: Bearer, coach: Person, owner: Owner
) -> None:
    owner.execute(
        "insert into public.coach_availability (coach_id, day_of_week, start_time, end_time, is_available)"
        " values (%s, 1, '09:00', '10:00', false)",
        [coach.id],
    )
    assert (await client.get("/v1/availability", headers=bearer(coach.id))).json() == {"ranges": []}
    for _ in range(2):
        answer = await client.put("/v1/availability", json=week((1, "09:00", "10:00")), headers=bearer(coach.id))
        assert answer.status_code == 200, answer.text
        assert hours(answer) == [(1, "09:00", "10:00")]


async def test_an_empty_week_closes_the_practice(client: httpx.AsyncClient, bearer: Bearer, coach: Person) -> None:
    await client.put("/v1/availability", json=week((1, "09:00", "10:00")), headers=bearer(coach.id))
    answer = await client.put("/v1/availability", json=week(), headers=bearer(coach.id))
    assert answer.json() == {"ranges": []}


@pytest.mark.parametrize(
    ("body", "code"),
    [
        (week((1, "09:00", "11:00"), (1, "10:45", "12:00")), "availability_overlap"),
        (week((1, "09:00", "11:00"), (1, "09:00", "11:00")), "availability_overlap"),
        (week((1, "22:00", "02:00"), (2, "01:00", "03:00")), "availability_overlap"),
        (week((6, "22:00", "02:00"), (0, "01:00", "03:00")), "availability_overlap"),
        (week((1, "11:00", "11:00")), "hours_invalid"),
        (week((1, "09:00", "11:00"), timezone="Asia/Atlantis"), "timezone_unknown"),
        (week((1, "09:00", "11:00"), timezone="Foo/Bar3"), "timezone_unknown"),
        (week((1, "09:00", "11:00"), timezone="EST5EDT,M3.2.0,M11.1.0"), "timezone_unknown"),
        (week((1, "09:00", "11:00"), timezone="Asia/Jeru\x00salem"), "invalid_request"),
        (week((1, "09:00", "11:00"), timezone=""), "invalid_request"),
        (week((7, "09:00", "11:00")), "invalid_request"),
        (week((-1, "09:00", "11:00")), "invalid_request"),
        (week((1, "09:10", "11:00")), "invalid_request"),
        (week((1, "25:00", "26:00")), "invalid_request"),
        (week((1, "24:00", "24:00")), "hours_invalid"),
        (week((1, "24:15", "24:30")), "invalid_request"),
        (week((1, "9:00", "11:00")), "invalid_request"),
        (week((1, "09:00:00", "11:00")), "invalid_request"),
        (week((1, "09:00\n", "11:00")), "invalid_request"),
        (week(*[(1, "09:00", "11:00")] * 169), "invalid_request"),
        (week((1, "09:00", "11:00")) | {"coach_id": str(uuid4())}, "invalid_request"),
        (
            {"timezone": "UTC", "ranges": [{"day_of_week": "1", "start_time": "09:00", "end_time": "10:00"}]},
            "invalid_request",
        ),
        (
            {"timezone": "UTC", "ranges": [{"day_of_week": True, "start_time": "09:00", "end_time": "10:00"}]},
            "invalid_request",
        ),
        (
            {
                "timezone": "UTC",
                "ranges": [{"day_of_week": 1, "start_time": "09:00", "end_time": "10:00", "buffer_before_minutes": 15}],
            },
            "invalid_request",
        ),
        ({"ranges": []}, "invalid_request"),
        ([], "invalid_request"),
    ],
)
async def test_a_bad_week_is_refused_and_the_old_one_stays(
    client: httpx.AsyncClient, bearer: Bearer, coach: Person, body: Any, code: str
) -> None:
    before = await client.put("/v1/availability", json=week((2, "08:00", "09:00")), headers=bearer(coach.id))
    answer = await client.put("/v1/availability", json=body, headers=bearer(coach.id))
    assert answer.status_code in {409, 422}
    assert answer.json()["code"] == code
    after = await client.get("/v1/availability", headers=bearer(coach.id))
    assert after.json() == before.json()


async def test_two_weeks_set_at_once_leave_one_of_them_whole(
    client: httpx.AsyncClient, bearer: Bearer, coach: Person
) -> None:
    weeks = [week((day, "08:00", "09:00"), (day, "10:00", "11:00")) for day in range(6)]
    answers = await asyncio.gather(
        *(client.put("/v1/availability", json=body, headers=bearer(coach.id)) for body in weeks)
    )
    assert [answer.status_code for answer in answers] == [200] * 6
    left = hours(await client.get("/v1/availability", headers=bearer(coach.id)))
    assert left in [[(day, "08:00", "09:00"), (day, "10:00", "11:00")] for day in range(6)]


async def test_somebody_who_is_no_coach_has_no_week_to_set(
    client: httpx.AsyncClient, bearer: Bearer, owner: Owner
) -> None:
    client_user = a_person(owner)
    answer = await client.put("/v1/availability", json=week((1, "09:00", "10:00")), headers=bearer(client_user.id))
    assert answer.status_code == 404
    assert (await client.put("/v1/availability", json=week())).status_code == 401


async def test_anybody_signed_in_sees_a_coachs_hours_without_what_is_the_coachs_own(
    client: httpx.AsyncClient, bearer: Bearer, coach: Person, owner: Owner
) -> None:
    body = week((1, "09:00", "10:00"))
    await client.put("/v1/availability", json=body, headers=bearer(coach.id))
    owner.execute(
        "insert into public.coach_availability (coach_id, day_of_week, start_time, end_time, is_available)"
        " values (%s, 5, '09:00', '10:00', false)",
        [coach.id],
    )
    answer = await client.get(f"/v1/coaches/{coach.id}/availability", headers=bearer(a_person(owner).id))
    assert answer.json() == {
        "coach_id": str(coach.id),
        "ranges": [{"day_of_week": 1, "start_time": "09:00", "end_time": "10:00", "timezone": "Asia/Jerusalem"}],
    }
    assert (await client.get(f"/v1/coaches/{coach.id}/availability")).status_code == 401


async def test_nobodys_hours_a_clients_and_a_suspended_coachs_answer_alike(
    client: httpx.AsyncClient, bearer: Bearer, owner: Owner
) -> None:
    asking, no_coach, suspended = a_person(owner), a_person(owner), a_coach(owner)
    owner.execute("update public.users set status = 'suspended' where id = %s", [suspended.id])
    answers = [
        await client.get(f"/v1/coaches/{some_id}/availability", headers=bearer(asking.id))
        for some_id in (uuid4(), no_coach.id, suspended.id)
    ]
    assert [answer.status_code for answer in answers] == [404] * 3
    assert len({answer.json()["detail"] for answer in answers}) == 1


def test_a_coach_who_talks_to_the_database_is_held_to_the_same_rules(
    owner: Owner, coach: Person, as_user: AsUser
) -> None:
    with as_user(coach.id) as conn:
        conn.execute(
            "select * from public.set_availability('UTC', %s)",
            ['[{"day_of_week":1,"start_time":"09:00","end_time":"10:00"}]'],
        )
    with pytest.raises(psycopg.Error, match="overlap"), as_user(coach.id) as conn:
        conn.execute(
            "insert into public.coach_availability (coach_id, day_of_week, start_time, end_time, timezone)"
            " values (%s, 1, '09:30', '11:00', 'UTC')",
            [coach.id],
        )
    for broken in (
        "3",
        "null",
        '[{"day_of_week":1}]',
        '[{"day_of_week":1,"start_time":"25:00","end_time":"26:00"}]',
        "[1]",
    ):
        with pytest.raises(psycopg.Error), as_user(coach.id) as conn:
            conn.execute("select * from public.set_availability('UTC', %s)", [broken])
    left = owner.execute("select count(*) as n from public.coach_availability where coach_id = %s", [coach.id])
    assert left.fetchone() == {"n": 1}


def test_another_coach_neither_reads_nor_changes_a_week(owner: Owner, coach: Person, as_user: AsUser) -> None:
    with as_user(coach.id) as conn:
        conn.execute(
            "select * from public.set_availability('UTC', %s)",
            ['[{"day_of_week":1,"start_time":"09:00","end_time":"10:00"}]'],
        )
    with as_user(a_coach(owner).id) as conn:
        assert conn.execute("select * from public.coach_availability").fetchall() == []
        assert conn.execute("update public.coach_availability set is_available = false").rowcount == 0
        assert conn.execute("delete from public.coach_availability").rowcount == 0
