"""The queries of a coach's days and rules, typed. Each runs as whoever the executor acts for."""

from __future__ import annotations

import datetime as dt
from uuid import UUID

from loom.db.executor import Executor
from loom.db.sql import load_queries
from loom.features.hours.schemas import (
    Calendar,
    DayRange,
    Holiday,
    Keeper,
    Rules,
    SetDay,
    SetRules,
    TakeTimeOff,
    TimeOff,
)
from loom.http.cursors import After

SQL = load_queries(__package__)


async def get_rules(q: Executor) -> Rules | None:
    """The caller's rules, if there are any."""
    return await q.find_one(SQL["get_rules"], {}, Rules)


async def set_rules(q: Executor, new: SetRules) -> Rules:
    """The caller's rules from now on."""
    return await q.fetch_one(SQL["set_rules"], new.model_dump(), Rules)


async def list_days(q: Executor, first: dt.date | None, last: dt.date | None) -> list[DayRange]:
    """The caller's dates with hours of their own."""
    return await q.fetch_all(SQL["list_days"], {"first": first, "last": last}, DayRange)


async def set_day(q: Executor, day: dt.date, new: SetDay) -> list[DayRange]:
    """Replaces the hours of a date at once."""
    ranges = "[" + ",".join(one.model_dump_json() for one in new.ranges) + "]"
    return await q.fetch_all(SQL["set_day"], {"day": day, "timezone": new.timezone, "ranges": ranges}, DayRange)


async def clear_day(q: Executor, day: dt.date) -> int:
    """How many ranges were removed."""
    return await q.execute(SQL["clear_day"], {"day": day})


async def list_calendars(q: Executor) -> list[Calendar]:
    """The countries whose holidays the caller keeps."""
    return await q.fetch_all(SQL["list_calendars"], {}, Calendar)


async def own_language(q: Executor) -> str:
    """The caller's language."""
    return await q.fetch_value(SQL["own_language"], {}) or "en"


async def set_holidays(q: Executor, country: str, subdivision: str | None, covers_until: dt.date, days: str) -> UUID:
    """The calendar's id."""
    params = {"country": country, "subdivision": subdivision, "covers_until": covers_until, "days": days}
    return await q.fetch_value(SQL["set_holidays"], params)


async def get_calendar(q: Executor, calendar_id: UUID) -> Calendar:
    """One calendar; NotFound."""
    return await q.fetch_one(SQL["get_calendar"], {"id": calendar_id}, Calendar)


async def drop_calendar(q: Executor, country: str) -> int:
    """How many were dropped: one or none."""
    return await q.execute(SQL["drop_calendar"], {"country": country})


async def list_holidays(q: Executor, first: dt.date, last: dt.date) -> list[Holiday]:
    """The caller's holidays in a range of days."""
    return await q.fetch_all(SQL["list_holidays"], {"first": first, "last": last}, Holiday)


async def change_holiday(q: Executor, holiday_id: UUID, *, works: bool) -> Holiday:
    """The holiday after the change; NotFound for one that is not the caller's."""
    return await q.fetch_one(SQL["change_holiday"], {"id": holiday_id, "works": works}, Holiday)


async def list_time_off(q: Executor, after: After, limit: int) -> list[TimeOff]:
    """The caller's time off, by start."""
    return await q.fetch_all(
        SQL["list_time_off"], {"after_time": after.at, "after_id": after.id, "limit": limit}, TimeOff
    )


async def take_time_off(q: Executor, new: TakeTimeOff) -> UUID:
    """The block's id; 409 time_off_conflict."""
    return await q.fetch_value(SQL["take_time_off"], new.model_dump())


async def get_time_off(q: Executor, block_id: UUID) -> TimeOff:
    """One stretch of time off; NotFound."""
    return await q.fetch_one(SQL["get_time_off"], {"id": block_id}, TimeOff)


async def give_time_back(q: Executor, block_id: UUID) -> int:
    """How many were removed: one or none."""
    return await q.execute(SQL["give_time_back"], {"id": block_id})


async def calendars_to_renew(q: Executor, until: dt.date) -> list[Keeper]:
    """Calendars that end before a day."""
    return await q.fetch_all(SQL["calendars_to_renew"], {"until": until}, Keeper)


async def renew_holidays(q: Executor, calendar_id: UUID, until: dt.date, days: str) -> int:
    """How many days were added. What a coach said about others stays."""
    return await q.execute(SQL["renew_holidays"], {"id": calendar_id, "until": until, "days": days})
