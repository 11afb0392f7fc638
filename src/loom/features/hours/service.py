"""What a request does with a coach's days and rules."""

from __future__ import annotations

import datetime as dt
from itertools import groupby
from uuid import UUID

from loom.core import clock
from loom.core.errors import NotFound
from loom.db.executor import Executor
from loom.features.hours import holidays, queries
from loom.features.hours.schemas import Calendar, DayRange, DaySettings, Rules, SetDay, TakeTimeOff, TimeOff

NO_RULES = Rules(
    min_notice_minutes=0,
    horizon_days=None,
    max_per_day=None,
    max_per_week=None,
    week_starts_on=0,
    no_show_grace_minutes=None,
)


async def rules(q: Executor) -> Rules:
    """The caller's rules; a coach who has set none has these."""
    return await queries.get_rules(q) or NO_RULES


async def days(q: Executor, first: dt.date | None, last: dt.date | None) -> list[DaySettings]:
    """The caller's dates with hours of their own, each with its ranges."""
    rows = await queries.list_days(q, first, last)
    return [_settings(day, list(ranges)) for day, ranges in groupby(rows, key=lambda row: row.day)]


async def set_day(q: Executor, day: dt.date, new: SetDay) -> DaySettings:
    """The date as it is now."""
    return _settings(day, await queries.set_day(q, day, new))


async def clear_day(q: Executor, day: dt.date) -> None:
    """NotFound for a date without hours of its own."""
    if await queries.clear_day(q, day) == 0:
        raise NotFound


async def keep_holidays(q: Executor, country: str, subdivision: str | None) -> Calendar:
    """The calendar, with its days written down as far ahead as slots are offered."""
    today = clock.now().date()
    found = holidays.days_of(country, subdivision, await queries.own_language(q), today)
    calendar_id = await queries.set_holidays(q, country, subdivision, holidays.until(today), found)
    return await queries.get_calendar(q, calendar_id)


async def drop_holidays(q: Executor, country: str) -> None:
    """NotFound for a country whose holidays the caller does not keep."""
    if await queries.drop_calendar(q, country) == 0:
        raise NotFound


async def take_time_off(q: Executor, new: TakeTimeOff) -> TimeOff:
    """The time off as it was taken."""
    return await queries.get_time_off(q, await queries.take_time_off(q, new))


async def give_time_back(q: Executor, block_id: UUID) -> None:
    """NotFound for what is not the caller's time off."""
    if await queries.give_time_back(q, block_id) == 0:
        raise NotFound


def _settings(day: dt.date, ranges: list[DayRange]) -> DaySettings:
    return DaySettings(day=day, ranges=[one for one in ranges if one.start_time is not None])
