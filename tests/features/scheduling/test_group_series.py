"""A group that meets every week: as many seats each time, and people who are asked to one or to all from one on."""

from __future__ import annotations

from collections.abc import Callable
from datetime import timedelta
from uuid import UUID
from zoneinfo import ZoneInfo

import httpx
import psycopg
import pytest
from psycopg.rows import DictRow

from tests.support.acting import AsUser
from tests.support.scheduling import JERUSALEM, Scene, at, make_scene, one, refusal

Owner = psycopg.Connection[DictRow]
Bearer = Callable[[UUID], dict[str, str]]

GROUP = "select public.create_series(%s, %s, %s, 'FREQ=WEEKLY', %s, 'ask', null, %s)"


@pytest.fixture
def scene(owner: Owner) -> Scene:
    return make_scene(owner)


def test_a_group_meets_every_week_with_its_seats_and_people_are_asked_to_all_from_one_on(
    owner: Owner, scene: Scene, as_user: AsUser
) -> None:
    first = at(10, 18).astimezone(ZoneInfo(JERUSALEM)).replace(tzinfo=None)
    times = [first + timedelta(weeks=week) for week in range(4)]
    for who, client, capacity, refused in (
        (scene.client, None, None, (422, "template_is_group")),
        (scene.coach, scene.client, None, (422, "template_is_group")),
        (scene.coach, None, 1001, (422, "capacity_out_of_range")),
    ):
        with as_user(who) as conn, pytest.raises(psycopg.Error) as no:
            one(conn, GROUP, [scene.group, times, JERUSALEM, client, capacity])
        assert refusal(no.value) == refused
    with as_user(scene.coach) as conn, pytest.raises(psycopg.Error) as between_two:
        one(conn, GROUP, [scene.single, times, JERUSALEM, scene.client, 3])
    assert refusal(between_two.value) == (422, "capacity_out_of_range")
    with as_user(scene.coach) as conn:
        series = one(conn, GROUP, [scene.group, times, JERUSALEM, None, 2])
    held = owner.execute(
        "select s.id, s.type, s.capacity, s.client_id, m.client_id as series_client from public.series_sessions as m"
        " join public.sessions as s on s.id = m.session_id where m.series_id = %s order by m.ordinal",
        [series],
    ).fetchall()
    assert {(row["type"], row["capacity"], row["client_id"], row["series_client"]) for row in held} == {
        ("group", 2, None, None)
    }
    invite = "select public.invite_to_series(%s, %s)"
    with as_user(scene.client) as conn, pytest.raises(psycopg.Error) as hers:
        one(conn, invite, [held[0]["id"], scene.second_client])
    assert refusal(hers.value) == (404, "not_found")
    with as_user(scene.coach) as conn:
        one(conn, "select public.invite_attendee(%s, %s)", [held[2]["id"], scene.client])
        one(conn, invite, [held[1]["id"], scene.client])
        one(conn, "select public.invite_to_series(%s, p_email => 'guest@example.com')", [held[3]["id"]])
    with as_user(scene.coach) as conn, pytest.raises(psycopg.Error) as full:
        one(conn, invite, [held[0]["id"], scene.second_client])
    assert refusal(full.value) == (409, "session_full")
    seats = owner.execute(
        "select m.ordinal, count(a.id) as n from public.series_sessions as m left join public.session_attendees as a"
        " on a.session_id = m.session_id and a.role <> 'coach' where m.series_id = %s group by 1 order by 1",
        [series],
    ).fetchall()
    assert [row["n"] for row in seats] == [0, 1, 1, 2], "to all from there on, once each; and of the full ones none"
    with as_user(scene.coach) as conn:
        assert one(conn, "select public.move_series(%s, %s)", [held[1]["id"], at(18, 19)]) == 3
        assert one(conn, "select public.cancel_series(%s)", [held[2]["id"]]) == 2
    states = [one(owner, "select status from public.sessions where id = %s", [row["id"]]) for row in held]
    assert states == ["scheduled"] * 2 + ["cancelled"] * 2


async def test_a_group_series_over_http(client: httpx.AsyncClient, bearer: Bearer, scene: Scene) -> None:
    coach = bearer(scene.coach)
    body = {
        "template_id": str(scene.group),
        "local_start": at(10, 18).astimezone(ZoneInfo(JERUSALEM)).replace(tzinfo=None).isoformat(),
        "timezone": JERUSALEM,
        "rule": "FREQ=WEEKLY;COUNT=3",
        "capacity": 2,
    }
    made = await client.post("/v1/series", json=body, headers=coach)
    assert (made.status_code, made.json()["client_id"]) == (201, None), made.text
    places = [f"/v1/sessions/{each['session_id']}/attendees" for each in made.json()["sessions"]]
    wish = {"user_id": str(scene.client), "following": True}
    asked = await client.post(places[1], json=wish, headers=coach)
    assert asked.status_code == 201, asked.text
    assert asked.json()["session_id"] == made.json()["sessions"][1]["session_id"]
    seats = [len((await client.get(place, headers=coach)).json()["items"]) for place in places]
    assert seats == [1, 2, 2], "the coach's own and the client's"
    phoned = {"reason": "phoned", "for_client": True}
    gone = await client.post(f"/v1/attendees/{asked.json()['id']}/cancel", json=phoned, headers=coach)
    assert (gone.status_code, gone.json()["cancelled_by"]) == (200, str(scene.client)), gone.text
    over = await client.post(places[1].replace("attendees", "cancel-following"), json=phoned, headers=coach)
    assert (over.status_code, over.json()["code"]) == (422, "group_has_no_client")
    over = await client.post(places[1].replace("attendees", "cancel-following"), json={}, headers=coach)
    assert over.json() == {"sessions": 2}
