"""Slots in every zone that there is, on days with and without a clock change."""

from __future__ import annotations

import itertools
import random
from collections.abc import Iterator
from datetime import date, datetime, time, timedelta
from typing import Any
from zoneinfo import ZoneInfo, available_timezones

import psycopg
import pytest
from psycopg.rows import DictRow, dict_row

from tests.support.scheduling import Scene, make_scene, one

Owner = psycopg.Connection[DictRow]

DAYS = [date(2024, 1, 1) + timedelta(days=n) for n in range(7 * 365 + 2)]
HOUR = timedelta(hours=1)


def changes(zone: str) -> list[date]:
    """The days from 2024 to 2030 on which the clock of a zone is changed."""
    tz = ZoneInfo(zone)
    offsets = [datetime.combine(day, time(12), tz).utcoffset() for day in DAYS]
    return [day for day, (before, after) in zip(DAYS[1:], itertools.pairwise(offsets), strict=False) if before != after]


@pytest.fixture(scope="module")
def world(database_url: str) -> Iterator[tuple[Owner, Scene]]:
    with psycopg.connect(database_url, autocommit=True, row_factory=dict_row) as conn:
        scene = make_scene(conn)
        conn.execute("update public.session_templates set slot_step_minutes = 60 where id = %s", [scene.single])
        yield conn, scene


def starts(owner: Owner, scene: Scene, zone: str, day: date) -> dict[str, Any]:
    """What the database makes of a whole day of a zone: the day's bounds as instants, and its starts."""
    row = owner.execute(
        """
        with bounds as (
          select private.local_instant(%(day)s::date::timestamp, %(zone)s) as opens,
            private.local_instant(%(day)s::date + time '24:00', %(zone)s) as closes
        )
        select b.opens, b.closes, array(
          select s from private.slot_starts(
            (select t from public.session_templates t where id = %(template)s), b.opens, b.closes) as s order by s
        ) as starts, array(
          select distinct (s at time zone %(zone)s)::date from private.slot_starts(
            (select t from public.session_templates t where id = %(template)s), b.opens, b.closes) as s
        ) as days
        from bounds as b
        """,
        {"day": day, "zone": zone, "template": scene.single},
    ).fetchone()
    assert row is not None
    return row


def test_every_zone_of_the_tz_database(world: tuple[Owner, Scene], pytestconfig: pytest.Config) -> None:
    owner, scene = world
    choose = random.Random(2024)  # noqa: S311 - the same days in every run
    known = [zone for zone in sorted(available_timezones()) if one(owner, "select private.is_time_zone(%s)", [zone])]
    assert len(known) > 400
    usual, changed = (30, 30) if pytestconfig.getoption("--campaign") else (1, 1)
    odd = 0
    owner.execute("delete from public.coach_availability where coach_id = %s", [scene.coach])
    owner.execute(
        "insert into public.coach_availability (coach_id, day_of_week, start_time, end_time, timezone)"
        " select %s, day, '00:00', '24:00', 'UTC' from generate_series(0, 6) as day",
        [scene.coach],
    )
    for zone in known:
        owner.execute("update public.coach_availability set timezone = %s where coach_id = %s", [zone, scene.coach])
        with_change = changes(zone)
        days = choose.sample(DAYS, usual) + choose.sample(with_change, min(changed, len(with_change)))
        for day in days:
            found = starts(owner, scene, zone, day)
            opens, closes, slots = found["opens"], found["closes"], found["starts"]
            odd += closes - opens != 24 * HOUR
            assert all(later - earlier == HOUR for earlier, later in itertools.pairwise(slots)), (zone, day)
            assert slots[0] == opens, (zone, day)
            assert slots[-1] + HOUR <= closes, (zone, day)
            assert len(slots) == (closes - opens) // HOUR, (zone, day)
            # By PostgreSQL's own zones: those that Python has may be of another year.
            # Where midnight itself comes twice (the Azores), the hour between the two is the end of the day before.
            longer = closes - opens > 24 * HOUR
            assert set(found["days"]) <= ({day, day + timedelta(days=1)} if longer else {day}), (zone, day)
            assert day in found["days"], (zone, day)
    assert odd > 50, "days with a clock change were among them"
