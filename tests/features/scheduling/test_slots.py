"""Free slots: right on every clock, quick, and silent about others."""

from __future__ import annotations

import itertools
from datetime import UTC, date, datetime, timedelta
from typing import Any
from zoneinfo import ZoneInfo

import psycopg
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from psycopg.rows import DictRow

from loom.db.actor import Actor
from loom.db.database import Database
from tests.support.acting import AsUser
from tests.support.scheduling import (
    JERUSALEM,
    Scene,
    add_session,
    add_template,
    add_user,
    at,
    make_scene,
    one,
    refusal,
    set_hours,
)

Owner = psycopg.Connection[DictRow]

FREE = "select starts_at, ends_at from public.free_slots(%s, %s, %s, %s)"
ZONES = [
    "Asia/Jerusalem",
    "America/New_York",
    "Australia/Lord_Howe",
    "Africa/Cairo",
    "America/Santiago",
    "Asia/Kathmandu",
    "Europe/Dublin",
    "Pacific/Chatham",
    "Africa/Casablanca",
    "Asia/Beirut",
    "America/St_Johns",
    "UTC",
]


@pytest.fixture
def scene(owner: Owner) -> Scene:
    return make_scene(owner)


def starts_of_day(owner: Owner, scene: Scene, zone: str, day: date, step: int = 60) -> list[datetime]:
    """Every start of a local day, taken or past ones too: what the clock alone decides."""
    owner.execute(
        "update public.session_templates set default_duration_minutes = %s where id = %s", [step, scene.single]
    )
    rows = owner.execute(
        "select s as starts_at from private.slot_starts("
        " (select t from public.session_templates t where id = %s),"
        " (%s::date - 1)::timestamp at time zone 'UTC', (%s::date + 2)::timestamp at time zone 'UTC') as s order by s",
        [scene.single, day, day],
    ).fetchall()
    starts = [row["starts_at"] for row in rows]
    return [start for start in starts if start.astimezone(ZoneInfo(zone)).date() == day]


@pytest.mark.parametrize(
    ("zone", "day", "count"),
    [
        ("Asia/Jerusalem", date(2026, 3, 26), 6),
        ("Asia/Jerusalem", date(2026, 3, 27), 5),
        ("Asia/Jerusalem", date(2026, 10, 25), 7),
        ("America/New_York", date(2026, 3, 8), 5),
        ("America/New_York", date(2026, 11, 1), 7),
        ("Australia/Lord_Howe", date(2026, 10, 4), 5),
        ("Australia/Lord_Howe", date(2026, 4, 5), 6),
        ("Africa/Cairo", date(2026, 4, 24), 5),
        ("America/Santiago", date(2026, 9, 6), 5),
    ],
)
def test_a_day_with_a_clock_change_has_as_many_slots_as_hours(
    owner: Owner, scene: Scene, zone: str, day: date, count: int
) -> None:
    set_hours(owner, scene.coach, zone, "00:00", "06:00")
    starts = starts_of_day(owner, scene, zone, day)
    assert len(starts) == count
    assert len(set(starts)) == count
    assert all(later - earlier == timedelta(hours=1) for earlier, later in itertools.pairwise(starts))
    assert all((start + timedelta(hours=1)).astimezone(ZoneInfo(zone)).hour <= 6 for start in starts)


def test_counting_by_the_clock_instead_gives_the_wrong_table(owner: Owner, scene: Scene) -> None:
    # The negative control: wall-clock arithmetic, as most calendars do it, offers 02:00 on a night that has none.
    zone = ZoneInfo(JERUSALEM)
    naive = [datetime(2026, 3, 27, hour, tzinfo=zone) for hour in range(6)]
    assert len({start.astimezone(UTC) for start in naive}) < len(naive)
    set_hours(owner, scene.coach, JERUSALEM, "00:00", "06:00")
    assert len(starts_of_day(owner, scene, JERUSALEM, date(2026, 3, 27))) == 5


@pytest.mark.parametrize(
    ("hours", "expected"),
    [
        (("01:00", "02:30"), ["01:00", "01:30"]),
        (("02:00", "03:00"), []),
        (("02:30", "03:30"), ["03:00"]),
        (("02:15", "04:00"), ["03:00", "03:30"]),
    ],
)
def test_hours_that_touch_a_skipped_hour_offer_only_what_lies_inside_them(
    owner: Owner, scene: Scene, hours: tuple[str, str], expected: list[str]
) -> None:
    set_hours(owner, scene.coach, JERUSALEM, *hours)
    starts = starts_of_day(owner, scene, JERUSALEM, date(2026, 3, 27), step=30)
    assert [f"{start.astimezone(ZoneInfo(JERUSALEM)):%H:%M}" for start in starts] == expected


@settings(max_examples=60, deadline=None)
@given(
    zone=st.sampled_from(ZONES),
    day=st.dates(date(2024, 1, 1), date(2030, 12, 31)),
    step=st.sampled_from([15, 25, 45, 60, 90]),
    hours=st.sampled_from([("00:00", "24:00"), ("00:00", "06:00"), ("01:30", "03:30"), ("09:00", "17:00")]),
)
def test_slots_rise_do_not_overlap_and_fill_their_window(
    slot_world: tuple[Owner, Scene], zone: str, day: date, step: int, hours: tuple[str, str]
) -> None:
    owner, scene = slot_world
    set_hours(owner, scene.coach, zone, *hours)
    starts = starts_of_day(owner, scene, zone, day, step)
    assert all(later - earlier >= timedelta(minutes=step) for earlier, later in itertools.pairwise(starts))
    window = owner.execute(
        "select private.local_instant(%s::date + %s::time, %s) as a,"
        " private.local_instant(%s::date + %s::time, %s) as b",
        [day, hours[0], zone, day, hours[1], zone],
    ).fetchone()
    assert window is not None
    elapsed = window["b"] - window["a"]
    assert len(starts) == elapsed // timedelta(minutes=step)


@pytest.fixture(scope="module")
def slot_world(database_url: str) -> Any:
    with psycopg.connect(database_url, autocommit=True, row_factory=psycopg.rows.dict_row) as conn:
        yield conn, make_scene(conn)


def test_slots_leave_out_what_is_taken_and_what_is_past(owner: Owner, scene: Scene, as_user: AsUser) -> None:
    add_session(owner, scene.coach, scene.second_client, at(1, 10, 30))
    add_session(owner, scene.coach, scene.second_client, at(2, 10), status="cancelled")
    with as_user(scene.client) as conn:
        rows = conn.execute(FREE, [scene.coach, scene.single, at(-5, 0), at(3, 0)]).fetchall()
    starts = [row["starts_at"] for row in rows]
    assert starts == sorted(starts)
    assert min(starts) >= datetime.now(UTC) - timedelta(minutes=1)
    assert at(1, 10) not in starts
    assert at(1, 11) not in starts
    assert {at(1, 9), at(1, 12), at(2, 10)} <= set(starts)


def test_a_hold_takes_a_slot_until_it_expires_and_time_off_does_too(
    owner: Owner, scene: Scene, as_user: AsUser
) -> None:
    hold = (
        "insert into public.coach_blocks (coach_id, kind, during, expires_at)"
        " values (%s, 'hold', tstzrange(%s, %s), now() + %s::interval)"
    )
    owner.execute(hold, [scene.coach, at(2, 9), at(2, 10), "10 minutes"])
    owner.execute(hold, [scene.coach, at(2, 11), at(2, 12), "-1 second"])
    with as_user(scene.coach) as conn:
        conn.execute(
            "insert into public.coach_blocks (coach_id, kind, during) values (%s, 'time_off', tstzrange(%s, %s))",
            [scene.coach, at(2, 14), at(2, 17)],
        )
    with as_user(scene.client) as conn:
        rows = conn.execute(FREE, [scene.coach, scene.single, at(2, 0), at(3, 0)]).fetchall()
    assert [row["starts_at"] for row in rows] == [at(2, 10), at(2, 11), at(2, 12), at(2, 13)]


@pytest.mark.parametrize(
    ("days", "expected"),
    [((0, 63), (422, "range_too_long")), ((3, 3), (422, "range_invalid")), ((5, 3), (422, "range_invalid"))],
)
def test_a_range_that_makes_no_sense_is_refused(
    scene: Scene, as_user: AsUser, days: tuple[int, int], expected: tuple[int, str]
) -> None:
    with as_user(scene.client) as conn, pytest.raises(psycopg.Error) as refused:
        conn.execute(FREE, [scene.coach, scene.single, at(days[0]), at(days[1])])
    assert refusal(refused.value) == expected


def test_slots_of_what_cannot_be_booked_are_not_found(owner: Owner, scene: Scene, as_user: AsUser) -> None:
    elsewhere = add_template(owner, scene.other_coach)
    off = add_template(owner, scene.coach, is_active=False)
    for template in (elsewhere, off, scene.client):
        with as_user(scene.client) as conn, pytest.raises(psycopg.Error) as refused:
            conn.execute(FREE, [scene.coach, template, at(1), at(2)])
        assert refusal(refused.value) == (404, "not_found")


def test_a_suspended_user_gets_no_slots_and_nobody_gets_none_without_signing_in(
    owner: Owner, scene: Scene, as_user: AsUser, as_role: Any
) -> None:
    gone = add_user(owner, "Gone")
    owner.execute("update public.users set status = 'suspended' where id = %s", [gone])
    with as_user(gone) as conn, pytest.raises(psycopg.Error) as refused:
        conn.execute(FREE, [scene.coach, scene.single, at(1), at(2)])
    assert refusal(refused.value) == (401, "not_authenticated")
    with as_role("anon") as conn, pytest.raises(psycopg.errors.InsufficientPrivilege):
        conn.execute(FREE, [scene.coach, scene.single, at(1), at(2)])


async def test_a_month_of_slots_takes_at_most_four_statements(owner: Owner, scene: Scene, db: Database) -> None:
    owner.execute(
        "insert into public.sessions (coach_id, client_id, title, scheduled_at)"
        " select %s, %s, 'past', date_trunc('hour', now()) - n * interval '3 hours' from generate_series(2, 1000) as n",
        [scene.coach, scene.client],
    )
    sent: list[str] = []
    counting = psycopg.AsyncCursor.execute

    async def execute(self: Any, query: Any, *args: Any, **kwargs: Any) -> Any:
        sent.append(str(query))
        return await counting(self, query, *args, **kwargs)

    psycopg.AsyncCursor.execute = execute  # type: ignore[method-assign]
    try:
        params = [scene.coach, scene.single, at(1, 0), at(32, 0), "Europe/London"]
        await db.fetch_json(Actor.user(scene.client), "public.free_slots_json", params)
        del sent[:]  # a connection's first use also sets it up
        body = await db.fetch_json(Actor.user(scene.client), "public.free_slots_json", params)
    finally:
        psycopg.AsyncCursor.execute = counting  # type: ignore[method-assign]
    assert body is not None
    assert body.count(b"local_start") == 31 * 8
    assert 1 <= len(sent) <= 4


def test_taken_time_is_found_by_the_index_however_many_sessions_there_are(owner: Owner, scene: Scene) -> None:
    owner.execute(
        "insert into public.coach_blocks (coach_id, kind, during)"
        " select %s, 'time_off', tstzrange(at, at + interval '1 hour')"
        " from generate_series(now() - interval '5000 hours', now() - interval '2 hours', interval '2 hours') as at",
        [scene.coach],
    )
    owner.execute("analyze public.coach_blocks")
    plan = one(
        owner,
        "explain (format json) select during from public.coach_blocks"
        " where coach_id = %s and during && tstzrange(now(), now() + interval '31 days')",
        [scene.coach],
    )
    assert "Seq Scan" not in str(plan)
    assert "coach_blocks_no_overlap" in str(plan)
