"""Sessions that recur: checked before anything is written, on the clock they were agreed on, all or what was picked."""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime, timedelta
from typing import Any
from uuid import UUID
from zoneinfo import ZoneInfo

import httpx
import psycopg
import pytest
from psycopg.rows import DictRow, dict_row

from loom.core.errors import AppError
from loom.features.booking.recurrence import occurrences
from tests.support.acting import AsUser, acting
from tests.support.cluster import Cluster
from tests.support.scheduling import (
    JERUSALEM,
    Scene,
    add_session,
    add_template,
    at,
    make_client,
    make_scene,
    one,
    race,
    refusal,
    set_hours,
)

Owner = psycopg.Connection[DictRow]
Bearer = Callable[[UUID], dict[str, str]]

CREATE = "select public.create_series(%s, %s, %s, 'FREQ=WEEKLY', %s, %s, %s)"
PLAN = "select * from public.plan_series(%s, %s, %s, %s)"


@pytest.fixture
def scene(owner: Owner) -> Scene:
    return make_scene(owner)


def wall(when: datetime, zone: str = JERUSALEM) -> datetime:
    return when.astimezone(ZoneInfo(zone)).replace(tzinfo=None)


def weekly(first: datetime, count: int) -> list[datetime]:
    return [first + timedelta(weeks=week) for week in range(count)]


def sessions(owner: Owner, series: UUID) -> list[DictRow]:
    return owner.execute(
        "select m.ordinal, s.id, s.scheduled_at, s.status::text from public.series_sessions m"
        " join public.sessions s on s.id = m.session_id where m.series_id = %s order by m.ordinal",
        [series],
    ).fetchall()


def test_of_24_weeks_exactly_the_three_in_the_way_are_named_and_nothing_is_written(
    owner: Owner, scene: Scene, as_user: AsUser
) -> None:
    times = weekly(wall(at(10, 18)), 24)
    taken = [3, 11, 17]
    for week in taken:
        start = times[week - 1].replace(tzinfo=ZoneInfo(JERUSALEM))
        add_session(owner, scene.coach, scene.second_client, start + timedelta(minutes=30), title="Elsewhere")
    with as_user(scene.coach) as conn:
        plan = conn.execute(PLAN, [scene.single, times, JERUSALEM, "ask"]).fetchall()
    assert [row["ordinal"] for row in plan if row["problem"]] == taken
    assert {(row["problem"], row["taken_by"]) for row in plan if row["problem"]} == {("taken", "Elsewhere")}
    with as_user(scene.coach) as conn, pytest.raises(psycopg.Error) as conflict:
        one(conn, CREATE, [scene.single, times, JERUSALEM, scene.client, "ask", None])
    assert refusal(conflict.value) == (409, "series_conflict")
    assert (conflict.value.diag.message_hint or "").count("taken, Elsewhere") == 3
    assert one(owner, "select count(*) from public.session_series where coach_id = %s", [scene.coach]) == 0
    assert one(owner, "select count(*) from public.sessions where coach_id = %s", [scene.coach]) == 3
    only = [place for place in range(1, 25) if place not in taken]
    with as_user(scene.coach) as conn:
        series = one(conn, CREATE, [scene.single, times, JERUSALEM, scene.client, "ask", only])
    assert [row["ordinal"] for row in sessions(owner, series)] == only


def test_moving_one_leaves_the_others_and_the_number(owner: Owner, scene: Scene, as_user: AsUser) -> None:
    times = weekly(wall(at(10, 10)), 24)
    with as_user(scene.coach) as conn:
        series = one(conn, CREATE, [scene.single, times, JERUSALEM, scene.client, "ask", None])
    before = sessions(owner, series)
    third = before[2]
    with as_user(scene.coach) as conn:
        one(conn, "select public.reschedule_session(%s, %s)", [third["id"], third["scheduled_at"] + timedelta(days=1)])
    after = sessions(owner, series)
    assert len(after) == 24
    assert [new for new, old in zip(after, before, strict=True) if new != old] == [after[2]]


def test_the_clock_of_the_series_stands_while_those_of_others_change(owner: Owner) -> None:
    times = weekly(datetime.fromisoformat("2026-03-01T18:00"), 5)
    rows = owner.execute(
        "select l at time zone %s as starts_at from unnest(%s::timestamp[]) as l", [JERUSALEM, times]
    ).fetchall()
    starts = [row["starts_at"] for row in rows]
    assert {f"{start.astimezone(ZoneInfo(JERUSALEM)):%H:%M}" for start in starts} == {"18:00"}
    assert [start.astimezone(ZoneInfo("America/New_York")).hour for start in starts] == [11, 12, 12, 12, 11]
    assert {start.astimezone(ZoneInfo("Europe/London")).hour for start in starts} == {16}


def test_a_series_keeps_its_hour_across_the_clock_change(owner: Owner, scene: Scene, as_user: AsUser) -> None:
    times = weekly(wall(at(5, 10)), 52)
    with as_user(scene.coach) as conn:
        series = one(conn, CREATE, [scene.single, times, JERUSALEM, scene.client, "ask", None])
    starts = [row["scheduled_at"] for row in sessions(owner, series)]
    assert {f"{start.astimezone(ZoneInfo(JERUSALEM)):%H:%M}" for start in starts} == {"10:00"}
    assert len({start.hour for start in starts}) == 2, "a year has a summer and a winter"


# The night in spring on which Israel's clocks go from 02:00 to 03:00.
GAP = datetime.fromisoformat("2031-03-28T02:30")


def test_a_time_that_does_not_exist_is_shown_and_asked_about(owner: Owner, scene: Scene, as_user: AsUser) -> None:
    times = [GAP - timedelta(days=1), GAP, GAP + timedelta(days=1)]
    with as_user(scene.coach) as conn:
        plan = conn.execute(PLAN, [scene.single, times, JERUSALEM, "ask"]).fetchall()
    assert [row["problem"] for row in plan] == [None, "time_does_not_exist", None]
    assert f"{plan[1]['starts_at'].astimezone(ZoneInfo(JERUSALEM)):%H:%M}" == "03:30"
    with as_user(scene.coach) as conn, pytest.raises(psycopg.Error) as asked:
        one(conn, CREATE, [scene.single, times, JERUSALEM, scene.client, "ask", None])
    assert refusal(asked.value) == (409, "series_conflict")
    assert "time does not exist" in (asked.value.diag.message_hint or "")
    for missing, expected in (("later", [1, 2, 3]), ("skip", [1, 3])):
        with as_user(scene.coach) as conn:
            series = one(conn, CREATE, [scene.single, times, JERUSALEM, scene.client, missing, None])
        assert [row["ordinal"] for row in sessions(owner, series)] == expected
        owner.execute("update public.sessions set status = 'cancelled' where coach_id = %s", [scene.coach])


def test_a_client_books_a_series_of_what_is_on_offer_and_within_the_limits(
    owner: Owner, scene: Scene, as_user: AsUser
) -> None:
    add_session(owner, scene.coach, scene.second_client, at(15, 10))
    times = [wall(at(day, 10)) for day in (8, 15)] + [wall(at(22, 6))]
    with as_user(scene.client) as conn:
        plan = conn.execute(PLAN, [scene.single, times, JERUSALEM, "ask"]).fetchall()
        assert [(row["problem"], row["taken_by"]) for row in plan] == [
            (None, None),
            ("taken", None),
            ("outside_hours", None),
        ]
        series = one(conn, CREATE, [scene.single, times, JERUSALEM, None, "ask", [1]])
    assert len(sessions(owner, series)) == 1
    owner.execute("insert into public.booking_rules (coach_id, max_per_day) values (%s, 1)", [scene.coach])
    both = [wall(at(30, 10)), wall(at(30, 12))]
    with as_user(scene.client) as conn, pytest.raises(psycopg.Error) as full:
        one(conn, CREATE, [scene.single, both, JERUSALEM, None, "ask", None])
    assert refusal(full.value) == (409, "day_full")
    assert (
        one(
            owner,
            "select count(*) from public.sessions where coach_id = %s and scheduled_at >= %s",
            [scene.coach, at(30, 0)],
        )
        == 0
    )
    with as_user(scene.client) as conn, pytest.raises(psycopg.Error) as others:
        one(conn, CREATE, [scene.single, both, JERUSALEM, scene.second_client, "ask", None])
    assert refusal(others.value) == (404, "not_found")


def test_all_from_here_move_by_the_clock_or_not_at_all(owner: Owner, scene: Scene, as_user: AsUser) -> None:
    times = weekly(wall(at(5, 10)), 40)
    with as_user(scene.coach) as conn:
        series = one(conn, CREATE, [scene.single, times, JERUSALEM, scene.client, "ask", None])
    before = sessions(owner, series)
    fifth = before[4]
    in_the_way = add_session(
        owner, scene.coach, scene.second_client, before[19]["scheduled_at"] + timedelta(days=7, hours=1), title="Wall"
    )
    target = fifth["scheduled_at"] + timedelta(hours=1)
    with as_user(scene.coach) as conn, pytest.raises(psycopg.Error) as conflict:
        one(conn, "select public.move_series(%s, %s)", [fifth["id"], target])
    assert refusal(conflict.value) == (409, "series_conflict")
    assert (conflict.value.diag.message_hint or "").count("taken, Wall") == 1
    assert sessions(owner, series) == before
    assert one(owner, "select count(*) from public.coach_blocks where coach_id = %s", [scene.coach]) == 41
    owner.execute("update public.sessions set status = 'cancelled' where id = %s", [in_the_way])
    with as_user(scene.client) as conn, pytest.raises(psycopg.Error) as client:
        one(conn, "select public.move_series(%s, %s)", [fifth["id"], target])
    assert refusal(client.value) == (404, "not_found")
    with as_user(scene.coach) as conn:
        # By a week, so that each comes to lie where the next one was.
        assert one(conn, "select public.move_series(%s, %s)", [fifth["id"], before[5]["scheduled_at"]]) == 36
        assert one(conn, "select public.move_series(%s, %s)", [fifth["id"], target]) == 36
    after = sessions(owner, series)
    assert after[:4] == before[:4]
    assert {f"{row['scheduled_at'].astimezone(ZoneInfo(JERUSALEM)):%H:%M}" for row in after[4:]} == {"11:00"}
    assert one(owner, "select count(*) from public.coach_blocks where coach_id = %s", [scene.coach]) == 40


def test_a_series_that_is_moved_to_where_it_is_keeps_its_time(owner: Owner, scene: Scene, as_user: AsUser) -> None:
    with as_user(scene.coach) as conn:
        series = one(conn, CREATE, [scene.single, weekly(wall(at(5, 10)), 3), JERUSALEM, scene.client, "ask", None])
    first = sessions(owner, series)[0]
    with as_user(scene.coach) as conn:
        assert one(conn, "select public.move_series(%s, %s)", [first["id"], first["scheduled_at"]]) == 3
    assert one(owner, "select count(*) from public.coach_blocks where coach_id = %s", [scene.coach]) == 3
    with as_user(scene.second_client) as conn, pytest.raises(psycopg.Error) as taken:
        one(conn, "select public.book_session(%s, %s)", [scene.single, first["scheduled_at"]])
    assert refusal(taken.value) == (409, "slot_taken")


def test_all_from_here_are_cancelled_and_those_before_stand(owner: Owner, scene: Scene, as_user: AsUser) -> None:
    with as_user(scene.coach) as conn:
        series = one(conn, CREATE, [scene.single, weekly(wall(at(5, 10)), 6), JERUSALEM, scene.client, "ask", None])
    third = sessions(owner, series)[2]["id"]
    with as_user(scene.stranger) as conn, pytest.raises(psycopg.Error) as hidden:
        one(conn, "select public.cancel_series(%s)", [third])
    assert refusal(hidden.value) == (404, "not_found")
    with as_user(scene.client) as conn:
        assert one(conn, "select public.cancel_series(%s, 'moving away')", [third]) == 4
    assert [row["status"] for row in sessions(owner, series)] == ["scheduled"] * 2 + ["cancelled"] * 4
    with as_user(scene.client) as conn, pytest.raises(psycopg.Error) as again:
        one(conn, "select public.cancel_series(%s)", [third])
    assert refusal(again.value) == (409, "session_state_conflict")


def opposite_series(owner: Owner, api_url: str, scene: Scene, first_day: int) -> list[Any]:
    """Six want the same twelve weeks at once, every second from the last to the first."""
    times = weekly(wall(at(first_day, 10)), 12)

    def create(place: int) -> UUID:
        order = times if place % 2 else list(reversed(times))
        with acting(api_url, "authenticated", {"sub": str(scene.coach)}) as conn:
            return one(conn, CREATE, [scene.single, order, JERUSALEM, scene.client, "ask", None])

    results: list[Any] = list(race([lambda place=place: create(place) for place in range(6)]))
    partial = owner.execute(
        "select count(*) as n from public.series_sessions where coach_id = %s group by series_id having count(*) <> 12",
        [scene.coach],
    ).fetchall()
    assert partial == []
    return results


def test_twelve_weeks_wanted_in_opposite_orders_go_to_one_without_a_deadlock(
    owner: Owner, scene: Scene, api_url: str
) -> None:
    for first_day in range(100, 105):
        results = opposite_series(owner, api_url, scene, first_day)
        assert sum(isinstance(result, UUID) for result in results) == 1
        assert {refusal(r) for r in results if isinstance(r, psycopg.Error)} == {(409, "series_conflict")}


def test_without_the_lock_on_the_coachs_time_the_same_series_deadlock(cluster: Cluster) -> None:
    # The negative control of the test above, in a database of its own.
    name = cluster.create(cluster.template())
    try:
        with psycopg.connect(cluster.url(name, "loom_owner"), autocommit=True, row_factory=dict_row) as conn:
            body = one(conn, "select pg_get_functiondef('private.lock_coach_time(uuid)'::regprocedure)")
            lock = "perform pg_advisory_xact_lock(hashtextextended('loom.coach_time:' || p_coach_id, 0))"
            assert lock in body
            conn.execute(body.replace(lock, "null"))
            # Every session takes a moment, so that the race does not depend on the machine.
            conn.execute(
                "create function public.dawdle() returns trigger language plpgsql as"
                " $$ begin perform pg_sleep(0.02); return null; end $$;"
                " create trigger zz_dawdle after insert on public.sessions"
                " for each row execute function public.dawdle()"
            )
            scene = make_scene(conn)
            results = opposite_series(conn, cluster.url(name, "loom_api"), scene, 100)
            assert "40P01" in {r.sqlstate for r in results if isinstance(r, psycopg.Error)}
    finally:
        cluster.drop(name)


FIRST = datetime.fromisoformat("2031-05-04T18:00")


@pytest.mark.parametrize(
    ("rule", "count"),
    [
        ("FREQ=WEEKLY;COUNT=12", 12),
        ("RRULE:FREQ=WEEKLY;INTERVAL=2;COUNT=3", 3),
        ("FREQ=WEEKLY;BYDAY=SU,TU;COUNT=4", 4),
        ("FREQ=MONTHLY;BYDAY=1SU;COUNT=5", 5),
        ("FREQ=WEEKLY;UNTIL=20310601", 5),
        ("FREQ=WEEKLY;UNTIL=20310601T150000Z", 5),
        ("FREQ=WEEKLY;UNTIL=20310601T145959Z", 4),
        ("freq=daily;count=104", 104),
    ],
)
def test_a_rule_gives_its_times(rule: str, count: int) -> None:
    found = occurrences(rule, FIRST, JERUSALEM)
    assert len(found) == count
    assert {(time.hour, time.minute) for time in found} == {(18, 0)}


@pytest.mark.parametrize(
    ("rule", "code"),
    [
        ("FREQ=WEEKLY", "rule_endless"),
        ("FREQ=WEEKLY;COUNT=105", "series_too_long"),
        ("FREQ=DAILY;UNTIL=20330101", "series_too_long"),
        ("FREQ=YEARLY;COUNT=10", "series_too_long"),
        ("FREQ=WEEKLY;COUNT=3;UNTIL=20330101", "rule_invalid"),
        ("FREQ=SECONDLY;COUNT=10", "rule_invalid"),
        ("FREQ=WEEKLY;COUNT=0", "rule_invalid"),
        ("FREQ=WEEKLY;COUNT=-1", "rule_invalid"),
        ("FREQ=WEEKLY;INTERVAL=0;COUNT=2", "rule_invalid"),
        ("FREQ=WEEKLY;INTERVAL=99999999999;COUNT=2", "rule_invalid"),
        ("FREQ=WEEKLY;BYDAY=XX;COUNT=2", "rule_invalid"),
        ("FREQ=WEEKLY;BYMONTH=13;COUNT=2", "series_empty"),
        ("FREQ=MONTHLY;BYMONTH=2;BYMONTHDAY=31;COUNT=2", "series_empty"),
        ("FREQ=WEEKLY;UNTIL=20300101", "series_empty"),
        ("FREQ=WEEKLY;UNTIL=20319999", "rule_invalid"),
        ("FREQ=WEEKLY;UNTIL=soon", "rule_invalid"),
        ("FREQ=WEEKLY;BYHOUR=3;COUNT=2", "rule_invalid"),
        ("FREQ=WEEKLY;FREQ=DAILY;COUNT=2", "rule_invalid"),
        ("COUNT=2", "rule_invalid"),
        ("every week", "rule_invalid"),
    ],
)
def test_a_rule_that_makes_no_sense_is_refused(rule: str, code: str) -> None:
    with pytest.raises(AppError) as refused:
        occurrences(rule, FIRST, JERUSALEM)
    assert (refused.value.status, refused.value.code) == (422, code)


async def test_a_series_over_http(client: httpx.AsyncClient, bearer: Bearer, owner: Owner, scene: Scene) -> None:
    coach, dana = bearer(scene.coach), bearer(scene.client)
    add_session(owner, scene.coach, scene.second_client, at(17, 10), title="Elsewhere")
    body = {
        "template_id": str(scene.single),
        "local_start": wall(at(10, 10)).isoformat(),
        "timezone": JERUSALEM,
        "rule": "FREQ=WEEKLY;COUNT=4",
    }
    plan = await client.post("/v1/series/plan", json=body, headers=coach)
    assert plan.status_code == 200, plan.text
    assert [time["problem"] for time in plan.json()["items"]] == [None, "taken", None, None]
    made = body | {"client_id": str(scene.client)}
    refused = await client.post("/v1/series", json=made, headers=coach)
    assert (refused.status_code, refused.json()["code"]) == (409, "series_conflict")
    assert "Elsewhere" in refused.json()["hint"]
    key = {"Idempotency-Key": "series-1"}
    booked = await client.post("/v1/series", json=made | {"only": [1, 3, 4]}, headers=coach | key)
    assert booked.status_code == 201, booked.text
    again = await client.post("/v1/series", json=made | {"only": [1, 3, 4]}, headers=coach | key)
    assert again.json() == booked.json()
    assert [each["ordinal"] for each in booked.json()["sessions"]] == [1, 3, 4]
    assert (await client.get(booked.headers["Location"], headers=dana)).json() == booked.json()
    assert (await client.get(booked.headers["Location"], headers=bearer(scene.stranger))).status_code == 404
    assert len((await client.get("/v1/series", headers=dana)).json()["items"]) == 1
    second = booked.json()["sessions"][1]
    to = {"starts_at": (at(24, 10) + timedelta(hours=1)).isoformat()}
    moved = await client.post(f"/v1/sessions/{second['session_id']}/move-following", json=to, headers=coach)
    assert moved.json() == {"sessions": 2}, moved.text
    gone = await client.post(f"/v1/sessions/{second['session_id']}/cancel-following", json={}, headers=dana)
    assert gone.json() == {"sessions": 2}
    nowhere = await client.post("/v1/series/plan", json=body | {"timezone": "Mars/Olympus"}, headers=coach)
    assert (nowhere.status_code, nowhere.json()["code"]) == (422, "timezone_unknown")


def test_a_series_that_overlaps_itself_is_refused(owner: Owner, scene: Scene, as_user: AsUser) -> None:
    long = add_template(owner, scene.coach, default_duration_minutes=1440, buffer_after_minutes=30)
    set_hours(owner, scene.coach, JERUSALEM, "00:00", "24:00")
    make_client(owner, scene.coach, scene.stranger)
    times = [wall(at(day, 10)) for day in (50, 51, 60)]
    with as_user(scene.coach) as conn:
        plan = conn.execute(PLAN, [long, times, JERUSALEM, "ask"]).fetchall()
    assert [row["problem"] for row in plan] == [None, "overlaps_itself", None]
