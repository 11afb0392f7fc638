"""Days that are not like the others: dates, holidays, hours over midnight, time off, and the rules of booking."""

from __future__ import annotations

from collections.abc import Callable
from datetime import date, datetime, timedelta
from uuid import UUID
from zoneinfo import ZoneInfo

import httpx
import psycopg
import pytest
from psycopg.rows import DictRow

from loom.core import clock
from loom.core.settings import Settings
from loom.db.database import Database
from loom.features.hours import holidays, tasks
from loom.jobs.registry import JobContext
from tests.support.acting import AsUser
from tests.support.scheduling import (
    JERUSALEM,
    Scene,
    add_session,
    add_template,
    at,
    make_scene,
    one,
    race,
    refusal,
    set_hours,
)

Owner = psycopg.Connection[DictRow]
Bearer = Callable[[UUID], dict[str, str]]

FREE = "select starts_at from public.free_slots(%s, %s, %s, %s)"
BOOK = "select public.book_session(%s, %s)"
LOCK = "perform pg_advisory_xact_lock(hashtextextended('loom.coach_time:' || p_coach_id, 0))"


@pytest.fixture
def scene(owner: Owner) -> Scene:
    return make_scene(owner)


def free(
    as_user: AsUser, scene: Scene, first: datetime, last: datetime, template: UUID | None = None
) -> list[datetime]:
    with as_user(scene.client) as conn:
        rows = conn.execute(FREE, [scene.coach, template or scene.single, first, last]).fetchall()
    return [row["starts_at"] for row in rows]


def hours(starts: list[datetime], zone: str = JERUSALEM) -> list[str]:
    return [f"{start.astimezone(ZoneInfo(zone)):%a %H:%M}" for start in starts]


def local_day(days: int) -> date:
    return at(days).astimezone(ZoneInfo(JERUSALEM)).date()


def test_hours_that_go_on_after_midnight_offer_sessions_across_it(owner: Owner, scene: Scene, as_user: AsUser) -> None:
    with as_user(scene.coach) as conn:
        conn.execute(
            "select public.set_availability(%s, jsonb_build_array(jsonb_build_object("
            "'day_of_week', extract(dow from %s::date), 'start_time', '22:00', 'end_time', '03:00')))",
            [JERUSALEM, local_day(7)],
        )
    template = add_template(owner, scene.coach, default_duration_minutes=90)
    starts = free(as_user, scene, at(5, 0), at(11, 0), template)
    assert [start.astimezone(ZoneInfo(JERUSALEM)).strftime("%H:%M") for start in starts] == ["22:00", "23:30", "01:00"]
    assert starts[1] - starts[0] == starts[2] - starts[1] == timedelta(minutes=90)
    # The same starts whichever part is asked for: steps begin where the hours do.
    assert free(as_user, scene, at(8, 0), at(11, 0), template) == starts[2:]
    with as_user(scene.client) as conn:
        one(conn, BOOK, [template, starts[1]])


def test_a_night_over_the_end_of_the_week_overlaps_its_beginning(owner: Owner, scene: Scene) -> None:
    owner.execute("delete from public.coach_availability where coach_id = %s", [scene.coach])
    insert = (
        "insert into public.coach_availability (coach_id, day_of_week, start_time, end_time, continues_until, timezone)"
        " values (%s, %s, %s, %s, %s, 'UTC')"
    )
    owner.execute(insert, [scene.coach, 6, "22:00", "24:00", "02:00"])
    owner.execute(insert, [scene.coach, 0, "02:00", "03:00", None])
    with pytest.raises(psycopg.Error) as overlap:
        owner.execute(insert, [scene.coach, 0, "01:00", "01:30", None])
    assert refusal(overlap.value) == (409, "availability_overlap")
    with pytest.raises(psycopg.errors.CheckViolation):
        owner.execute(insert, [scene.coach, 3, "10:00", "12:00", "02:00"])


def test_a_night_across_a_clock_change_counts_elapsed_time(owner: Owner, scene: Scene) -> None:
    # From 22:00 on the eve of the change to 04:00: five hours when the clock goes forward, seven when back.
    owner.execute("delete from public.coach_availability where coach_id = %s", [scene.coach])
    owner.execute(
        "insert into public.coach_availability (coach_id, day_of_week, start_time, end_time, continues_until, timezone)"
        " select %s, day, '22:00', '24:00', '04:00', %s from generate_series(0, 6) as day",
        [scene.coach, JERUSALEM],
    )
    for eve, count in (("2026-03-26", 5), ("2026-03-25", 6), ("2026-10-24", 7)):
        rows = owner.execute(
            "select s from private.slot_starts((select t from public.session_templates t where id = %s),"
            " (%s::date + time '20:00') at time zone 'UTC' - interval '6 hours',"
            " (%s::date + 1 + time '08:00') at time zone 'UTC') as s",
            [scene.single, eve, eve],
        ).fetchall()
        on_eve = [row["s"] for row in rows if row["s"].astimezone(ZoneInfo(JERUSALEM)).hour not in range(4, 20)]
        first = datetime.fromisoformat(f"{eve}T22:00").replace(tzinfo=ZoneInfo(JERUSALEM))
        assert len([start for start in on_eve if first <= start < first + timedelta(hours=10)]) == count


def test_a_date_of_its_own_replaces_the_week_and_a_closed_one_offers_nothing(scene: Scene, as_user: AsUser) -> None:
    with as_user(scene.coach) as conn:
        ranges = '[{"start_time": "20:00", "end_time": "22:00"}, {"start_time": "06:00", "end_time": "07:00"}]'
        conn.execute("select public.set_day(%s, %s, %s)", [local_day(3), JERUSALEM, ranges])
        conn.execute("select public.set_day(%s, %s, '[]')", [local_day(4), JERUSALEM])
    assert [hour[4:] for hour in hours(free(as_user, scene, at(3, 0), at(5, 0)))] == ["06:00", "20:00", "21:00"]
    for start in (at(3, 10), at(4, 10)):
        with as_user(scene.client) as conn, pytest.raises(psycopg.Error) as refused:
            one(conn, BOOK, [scene.single, start])
        assert refusal(refused.value) == (422, "slot_not_offered")
    with as_user(scene.coach) as conn:
        one(conn, "select public.book_session(%s, %s, %s)", [scene.single, at(4, 10), scene.client])


async def test_holidays_are_kept_on_request_only_and_worked_on_if_one_likes(
    client: httpx.AsyncClient, bearer: Bearer, owner: Owner, scene: Scene, as_user: AsUser
) -> None:
    coach = bearer(scene.coach)
    assert (await client.get("/v1/holiday-calendars", headers=coach)).json()["items"] == []
    assert (await client.put("/v1/holiday-calendars/IL", json={}, headers=bearer(scene.client))).status_code == 404
    for country, body in (("XQ", {}), ("GB", {"subdivision": "BAY"})):
        refused = await client.put(f"/v1/holiday-calendars/{country}", json=body, headers=coach)
        assert (refused.status_code, refused.json()["code"]) == (422, "holidays_unknown")
    kept = await client.put("/v1/holiday-calendars/IL", json={}, headers=coach)
    assert kept.status_code == 200, kept.text
    this_year = clock.now().year
    listed = await client.get(
        "/v1/holidays", params={"from": f"{this_year + 1}-01-01", "to": f"{this_year + 1}-12-31"}, headers=coach
    )
    days = listed.json()["items"]
    assert len(days) > 5
    day = datetime.fromisoformat(days[-1]["day"]).replace(hour=9, tzinfo=ZoneInfo(JERUSALEM))
    span = (day.replace(hour=0), day.replace(hour=23))
    assert free(as_user, scene, *span) == []
    worked = await client.patch(f"/v1/holidays/{days[-1]['id']}", json={"works": True}, headers=coach)
    assert worked.json()["works"] is True
    assert len(free(as_user, scene, *span)) == 8
    # What was said about the day outlives the next renewal.
    assert (await client.put("/v1/holiday-calendars/IL", json={}, headers=coach)).status_code == 200
    assert len(free(as_user, scene, *span)) == 8
    assert (await client.delete("/v1/holiday-calendars/IL", headers=coach)).status_code == 204
    assert one(owner, "select count(*) from public.coach_holidays where coach_id = %s", [scene.coach]) == 0


def test_the_holidays_of_israel_are_in_hebrew_for_whoever_speaks_it() -> None:
    assert "ראש השנה" in holidays.days_of("IL", None, "he", date(2026, 1, 1)).encode().decode("unicode_escape")
    assert "Rosh Hashanah" in holidays.days_of("IL", None, "en", date(2026, 1, 1))


async def test_every_night_holidays_reach_as_far_as_slots_do(
    owner: Owner, scene: Scene, db: Database, settings: Settings
) -> None:
    owner.execute(
        "insert into public.holiday_calendars (coach_id, country, covers_until) values (%s, 'GB', '2026-12-31')",
        [scene.coach],
    )
    ctx = JobContext(db, settings)
    for _ in range(2):
        await tasks.renew_holidays(ctx, timestamp=0)
    row = owner.execute(
        "select c.covers_until, count(h.id) as days, max(h.day) as last from public.holiday_calendars c"
        " join public.coach_holidays h on h.calendar_id = c.id where c.coach_id = %s group by c.id",
        [scene.coach],
    ).fetchone()
    assert row is not None
    assert row["covers_until"] == holidays.until(clock.now().date())
    assert row["last"].year == row["covers_until"].year
    assert row["days"] > 20


def test_notice_and_horizon_hold_clients_and_not_the_coach(owner: Owner, scene: Scene, as_user: AsUser) -> None:
    owner.execute(
        "insert into public.booking_rules (coach_id, min_notice_minutes, horizon_days) values (%s, %s, 10)",
        [scene.coach, 60 * 24 * 2],
    )
    starts = free(as_user, scene, at(0, 0), at(20, 0))
    assert min(starts) >= datetime.now(ZoneInfo("UTC")) + timedelta(days=2) - timedelta(minutes=1)
    assert max(starts) <= datetime.now(ZoneInfo("UTC")) + timedelta(days=10)
    for start, code in ((at(1, 10), "too_soon"), (at(12, 10), "too_far_ahead")):
        with as_user(scene.client) as conn, pytest.raises(psycopg.Error) as refused:
            one(conn, BOOK, [scene.single, start])
        assert refusal(refused.value) == (422, code)
        with as_user(scene.coach) as conn:
            one(conn, "select public.book_session(%s, %s, %s)", [scene.single, start, scene.client])
    looser = add_template(owner, scene.coach, min_notice_minutes=0, horizon_days=30)
    assert {at(1, 11), at(20, 11)} <= set(free(as_user, scene, at(1, 0), at(21, 0), looser))


def test_a_full_day_and_a_full_week_take_no_more_of_clients(owner: Owner, scene: Scene, as_user: AsUser) -> None:
    owner.execute(
        "insert into public.booking_rules (coach_id, max_per_day, max_per_week) values (%s, 2, 3)", [scene.coach]
    )
    sunday = next(day for day in range(10, 17) if at(day).astimezone(ZoneInfo(JERUSALEM)).weekday() == 6)
    for day, hour in ((sunday, 10), (sunday, 12), (sunday + 1, 10)):
        with as_user(scene.client) as conn:
            one(conn, BOOK, [scene.single, at(day, hour)])
    assert free(as_user, scene, at(sunday, 0), at(sunday + 7, 0)) == []
    assert len(free(as_user, scene, at(sunday + 7, 0), at(sunday + 8, 0))) == 8
    for day, code in ((sunday, "day_full"), (sunday + 3, "week_full")):
        with as_user(scene.client) as conn, pytest.raises(psycopg.Error) as refused:
            one(conn, BOOK, [scene.single, at(day, 15)])
        assert refusal(refused.value) == (409, code)
    owner.execute("update public.sessions set status = 'cancelled' where scheduled_at = %s", [at(sunday, 12)])
    assert len(free(as_user, scene, at(sunday, 0), at(sunday + 1, 0))) == 7
    # A session that moves does not stand in its own way.
    mover = one(owner, "select id from public.sessions where scheduled_at = %s", [at(sunday, 10)])
    with as_user(scene.client) as conn:
        one(conn, BOOK, [scene.single, at(sunday, 9)])
        one(conn, "select public.reschedule_session(%s, %s)", [mover, at(sunday, 16)])


def limit_race(as_user: AsUser, scene: Scene, day: int) -> int:
    """Eight at once for eight starts of a day that takes one; how many were booked."""

    def book(hour: int) -> UUID:
        with as_user(scene.client) as conn:
            return one(conn, BOOK, [scene.single, at(day, hour)])

    results = race([lambda hour=hour: book(hour) for hour in range(9, 17)])
    assert {refusal(r) for r in results if isinstance(r, psycopg.Error)} <= {(409, "day_full")}
    return sum(isinstance(result, UUID) for result in results)


def test_a_limit_holds_when_eight_come_at_once_and_would_not_without_its_lock(
    owner: Owner, scene: Scene, as_user: AsUser
) -> None:
    owner.execute("insert into public.booking_rules (coach_id, max_per_day) values (%s, 1)", [scene.coach])
    assert [limit_race(as_user, scene, day) for day in (30, 31, 32)] == [1, 1, 1]
    # The negative control: every booking stays open for a moment, and nobody waits for another.
    body = one(owner, "select pg_get_functiondef('private.lock_coach_time(uuid)'::regprocedure)")
    assert LOCK in body
    try:
        owner.execute(body.replace(LOCK, "null"))
        owner.execute(
            "create function public.dawdle() returns trigger language plpgsql as"
            " $$ begin perform pg_sleep(0.2); return null; end $$;"
            " create trigger zz_dawdle after insert on public.sessions for each row execute function public.dawdle()"
        )
        assert limit_race(as_user, scene, 33) > 1
    finally:
        owner.execute("drop trigger if exists zz_dawdle on public.sessions; drop function if exists public.dawdle()")
        owner.execute(body)


def test_counting_is_refused_where_its_lock_means_nothing(owner: Owner, scene: Scene, api_url: str) -> None:
    owner.execute("insert into public.booking_rules (coach_id, max_per_day) values (%s, 1)", [scene.coach])
    with psycopg.connect(api_url) as conn:
        conn.isolation_level = psycopg.IsolationLevel.REPEATABLE_READ
        conn.execute(
            "select set_config('role', 'authenticated', true), set_config('request.jwt.claims', %s, true)",
            [f'{{"sub": "{scene.client}"}}'],
        )
        with pytest.raises(psycopg.errors.InvalidTransactionState):
            conn.execute(BOOK, [scene.single, at(5)])


async def test_why_a_time_is_not_on_offer(
    client: httpx.AsyncClient, bearer: Bearer, owner: Owner, scene: Scene
) -> None:
    add_session(owner, scene.coach, scene.second_client, at(3, 10))
    owner.execute("insert into public.booking_rules (coach_id, max_per_day) values (%s, 1)", [scene.coach])
    owner.execute(
        "insert into public.availability_overrides (coach_id, day, timezone) values (%s, %s, %s)",
        [scene.coach, local_day(4), JERUSALEM],
    )
    calendar = one(
        owner, "insert into public.holiday_calendars (coach_id, country) values (%s, 'IL') returning id", [scene.coach]
    )
    owner.execute(
        "insert into public.coach_holidays (calendar_id, coach_id, day, name) values (%s, %s, %s, 'Feast')",
        [calendar, scene.coach, local_day(5)],
    )
    expected = {
        at(-1, 10): "past",
        at(3, 10): "taken",
        at(3, 11): "day_full",
        at(3, 6): "outside_hours",
        at(6, 10, 30): "not_a_start",
        at(4, 10): "other_hours_that_day",
        at(5, 10): "holiday",
        at(6, 10): None,
    }
    url = f"/v1/coaches/{scene.coach}/slots"
    for when, reason in expected.items():
        asked = {"template_id": str(scene.single), "at": when.isoformat()}
        answer = await client.get(f"{url}/reason", params=asked, headers=bearer(scene.client))
        assert answer.status_code == 200, answer.text
        assert (answer.json()["reason"], answer.json()["taken_by"]) == (reason, None)
    asked = {"template_id": str(scene.single), "at": at(3, 10).isoformat()}
    told = (await client.get(f"{url}/reason", params=asked, headers=bearer(scene.coach))).json()["taken_by"]
    assert [one["kind"] for one in told] == ["session"]
    span = {"template_id": str(scene.single), "from": at(3, 0).isoformat(), "to": at(7, 0).isoformat()}
    every = (await client.get(url, params=span | {"reasons": True}, headers=bearer(scene.client))).json()["items"]
    plain = (await client.get(url, params=span, headers=bearer(scene.client))).json()["items"]
    assert len(every) == 16
    assert [slot["starts_at"] for slot in every if slot["reason"] is None] == [slot["starts_at"] for slot in plain]


async def test_time_off_over_http_names_what_stands_in_its_way(
    client: httpx.AsyncClient, bearer: Bearer, owner: Owner, scene: Scene
) -> None:
    coach = bearer(scene.coach)
    session = add_session(owner, scene.coach, scene.client, at(3, 10), title="With Dana")
    owner.execute(
        "insert into public.coach_blocks (coach_id, kind, during, expires_at)"
        " values (%s, 'hold', tstzrange(%s, %s), now() - interval '1 second')",
        [scene.coach, at(4, 10), at(4, 11)],
    )
    body = {"starts_at": at(3, 0).isoformat(), "ends_at": at(5, 0).isoformat(), "note": "Away"}
    refused = await client.post("/v1/time-off", json=body, headers=coach)
    assert (refused.status_code, refused.json()["code"]) == (409, "time_off_conflict")
    assert "With Dana" in refused.json()["hint"]
    backwards = body | {"ends_at": at(2, 0).isoformat()}
    assert (await client.post("/v1/time-off", json=backwards, headers=coach)).json()["code"] == "range_invalid"
    owner.execute("update public.sessions set status = 'cancelled' where id = %s", [session])
    taken = await client.post("/v1/time-off", json=body, headers=coach)
    assert taken.status_code == 201, taken.text
    assert (await client.get(taken.headers["Location"], headers=coach)).json() == taken.json()
    assert (await client.get("/v1/time-off", headers=coach)).json()["items"] == [taken.json()]
    for other in (scene.client, scene.other_coach):
        assert (await client.delete(taken.headers["Location"], headers=bearer(other))).status_code == 404
    assert (await client.delete(taken.headers["Location"], headers=coach)).status_code == 204


async def test_rules_and_days_are_set_over_http_by_coaches_alone(
    client: httpx.AsyncClient, bearer: Bearer, scene: Scene
) -> None:
    coach = bearer(scene.coach)
    assert (await client.get("/v1/booking-rules", headers=coach)).json()["min_notice_minutes"] == 0
    body = {"min_notice_minutes": 120, "max_per_day": 4, "week_starts_on": 1}
    assert (await client.put("/v1/booking-rules", json=body, headers=bearer(scene.client))).status_code == 404
    for grace in (15, None):
        kept = body | {"horizon_days": None, "max_per_week": None, "no_show_grace_minutes": grace}
        assert (await client.put("/v1/booking-rules", json=kept, headers=coach)).json() == kept
    day = f"/v1/availability/days/{local_day(9)}"
    night = {"timezone": JERUSALEM, "ranges": [{"start_time": "22:00", "end_time": "01:30"}]}
    made = await client.put(day, json=night, headers=coach)
    assert [(r["start_time"], r["end_time"]) for r in made.json()["ranges"]] == [("22:00", "01:30")]
    closed = await client.put(day, json=night | {"ranges": []}, headers=coach)
    assert closed.json()["ranges"] == []
    assert (await client.get("/v1/availability/days", headers=coach)).json()["items"] == [closed.json()]
    nowhere = await client.put(day, json=night | {"timezone": "Mars/Olympus"}, headers=coach)
    assert (nowhere.status_code, nowhere.json()["code"]) == (422, "timezone_unknown")
    twice = night | {"ranges": [*night["ranges"], {"start_time": "23:00", "end_time": "23:30"}]}  # type: ignore[misc]
    overlap = await client.put(day, json=twice, headers=coach)
    assert (overlap.status_code, overlap.json()["code"]) == (409, "availability_overlap")
    assert (await client.get("/v1/availability/days", headers=coach)).json()["items"] == [closed.json()]
    assert (await client.delete(day, headers=coach)).status_code == 204
    assert (await client.delete(day, headers=coach)).status_code == 404


def test_half_hour_and_missing_midnights_have_their_own_slots(owner: Owner, scene: Scene) -> None:
    # Where the clock skips midnight itself, the day begins at one: hours from 00:00 are an hour shorter.
    for zone, day, count in (("Africa/Cairo", "2026-04-24", 2), ("Australia/Lord_Howe", "2026-10-04", 2)):
        set_hours(owner, scene.coach, zone, "00:00", "03:00")
        rows = owner.execute(
            "select s from private.slot_starts((select t from public.session_templates t where id = %s),"
            " %s::timestamp at time zone %s - interval '1 hour',"
            " %s::timestamp at time zone %s + interval '5 hours') as s",
            [scene.single, day, zone, day, zone],
        ).fetchall()
        assert len([r for r in rows if str(r["s"].astimezone(ZoneInfo(zone)).date()) == day]) == count
