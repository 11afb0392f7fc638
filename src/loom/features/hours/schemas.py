"""Shapes of a coach's days and rules."""

from __future__ import annotations

import datetime as dt
from typing import Annotated
from uuid import UUID

from pydantic import AwareDatetime, BaseModel, Field, StringConstraints

from loom.http.inputs import Input

Zone = Annotated[str, Field(min_length=1, max_length=64, description="An IANA time zone.", examples=["Asia/Jerusalem"])]
WallTime = Annotated[
    str,
    StringConstraints(pattern=r"^(([01][0-9]|2[0-3]):(00|15|30|45)|24:00)$"),
    Field(description="Wall time in steps of 15 minutes; 24:00 is the end of the day.", examples=["09:00"]),
]
Day = Annotated[dt.date, Field(description="A date on the coach's clock.", examples=["2031-05-04"])]
Instant = Annotated[AwareDatetime, Field(description="With its offset from UTC.", examples=["2031-05-04T09:00:00Z"])]
Country = Annotated[str, Field(pattern=r"^[A-Z]{2}$", description="ISO 3166.", examples=["IL"])]


class Rules(BaseModel):
    """How soon, how far ahead and how often clients can book, which a coach's own bookings are not held to.

    `no_show_grace_minutes` goes for what is made from now on, unless its template has its own.
    """

    min_notice_minutes: int
    horizon_days: int | None
    max_per_day: int | None
    max_per_week: int | None
    week_starts_on: int
    no_show_grace_minutes: int | None


class SetRules(Input):
    """All of the rules: they replace those before. What is booked stays booked."""

    min_notice_minutes: Annotated[int, Field(ge=0, le=525_600)] = 0
    horizon_days: Annotated[int, Field(ge=1, le=1825)] | None = Field(None, description="Without it five years.")
    max_per_day: Annotated[int, Field(ge=1, le=100)] | None = None
    max_per_week: Annotated[int, Field(ge=1, le=700)] | None = None
    week_starts_on: Annotated[int, Field(ge=0, le=6, description="0 is Sunday.")] = 0
    no_show_grace_minutes: Annotated[int, Field(ge=0, le=10_080)] | None = Field(
        None,
        description="Minutes after the end at which who confirmed and did not come is a no-show; without it nobody is.",
    )


class SetDayRange(Input):
    """Hours of that date. A range that ends before it starts goes on after midnight."""

    start_time: WallTime
    end_time: WallTime


class SetDay(Input):
    """The hours of one date, in place of those of its week and of a holiday; an empty list closes it."""

    timezone: Zone
    ranges: Annotated[list[SetDayRange], Field(max_length=24)]


class DayRange(BaseModel):
    """One range of hours of a date; without times the day is closed."""

    day: dt.date
    start_time: str | None
    end_time: str | None
    timezone: str


class DaySettings(BaseModel):
    """The hours of one date."""

    day: dt.date
    ranges: list[DayRange]


class Calendar(BaseModel):
    """A country whose public holidays the coach keeps."""

    id: UUID
    country: str
    subdivision: str | None
    covers_until: dt.date | None


class KeepHolidays(Input):
    """The part of the country, where it has holidays of its own."""

    subdivision: Annotated[str, Field(min_length=1, max_length=20)] | None = None


class Holiday(BaseModel):
    """A day that is kept free of bookings, unless the coach works on it."""

    id: UUID
    day: dt.date
    name: str
    works: bool


class ChangeHoliday(Input):
    """Whether you work on that day."""

    works: bool


class TimeOff(BaseModel):
    """Time in which nobody can book."""

    id: UUID
    starts_at: dt.datetime
    ends_at: dt.datetime
    note: str | None
    created_at: dt.datetime


class TakeTimeOff(Input):
    """From and to, the end not included."""

    starts_at: Instant
    ends_at: Instant
    note: Annotated[str, Field(max_length=500)] | None = None


class Keeper(BaseModel):
    """A calendar that is to be renewed, and in whose language."""

    id: UUID
    coach_id: UUID
    country: str
    subdivision: str | None
    language: str
