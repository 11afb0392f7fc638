"""Routes of a coach's days and rules."""

from __future__ import annotations

import datetime as dt
from typing import Annotated
from uuid import UUID

from fastapi import APIRouter, Path, Query
from starlette.responses import Response

from loom.features.hours import queries, service
from loom.features.hours.schemas import (
    Calendar,
    ChangeHoliday,
    Country,
    Day,
    DaySettings,
    Holiday,
    KeepHolidays,
    Rules,
    SetDay,
    SetRules,
    TakeTimeOff,
    TimeOff,
)
from loom.http import Cursor, Limit, Page, Read, Write, page_of, problems
from loom.http.cursors import decode_after

router = APIRouter(prefix="/v1", tags=["availability"])

First = Annotated[dt.date | None, Query(alias="from")]
Last = Annotated[dt.date | None, Query(alias="to", description="Included.")]


@router.get("/booking-rules")
async def get_rules(read: Read) -> Rules:
    """How soon, how far ahead and how often clients can book with you."""
    return await service.rules(read)


@router.put("/booking-rules", response_model=Rules, responses=problems(404))
async def set_rules(body: SetRules, write: Write) -> Response:
    """Replace all of them. Only for coaches."""
    return await write.run(lambda tx: queries.set_rules(tx, body))


@router.get("/availability/days")
async def list_days(read: Read, first: First = None, last: Last = None) -> Page[DaySettings]:
    """Your dates with hours of their own."""
    return Page[DaySettings](items=await service.days(read, first, last), next_cursor=None)


@router.put("/availability/days/{day}", response_model=DaySettings, responses=problems(404, 409))
async def set_day(day: Day, body: SetDay, write: Write) -> Response:
    """Give a date hours of its own; an empty list closes it. Sessions that are booked stay booked."""
    return await write.run(lambda tx: service.set_day(tx, day, body))


@router.delete("/availability/days/{day}", status_code=204, responses=problems(404))
async def clear_day(day: Day, write: Write) -> Response:
    """Let a date be like the others of its week again."""
    return await write.run(lambda tx: service.clear_day(tx, day))


@router.get("/holiday-calendars")
async def list_calendars(read: Read) -> Page[Calendar]:
    """The countries whose public holidays you keep: none unless you asked for them."""
    return Page[Calendar](items=await queries.list_calendars(read), next_cursor=None)


@router.put("/holiday-calendars/{country}", response_model=Calendar, responses=problems(404))
async def keep_holidays(country: Annotated[Country, Path()], body: KeepHolidays, write: Write) -> Response:
    """Keep the public holidays of a country: nobody can book you on them. Only for coaches."""
    return await write.run(lambda tx: service.keep_holidays(tx, country, body.subdivision))


@router.delete("/holiday-calendars/{country}", status_code=204, responses=problems(404))
async def drop_holidays(country: Annotated[Country, Path()], write: Write) -> Response:
    """Keep them no longer."""
    return await write.run(lambda tx: service.drop_holidays(tx, country))


@router.get("/holidays")
async def list_holidays(
    read: Read,
    first: Annotated[dt.date, Query(alias="from")],
    last: Annotated[dt.date, Query(alias="to", description="Included.")],
) -> Page[Holiday]:
    """Your holidays, by day."""
    return Page[Holiday](items=await queries.list_holidays(read, first, last), next_cursor=None)


@router.patch("/holidays/{holiday_id}", response_model=Holiday, responses=problems(404))
async def change_holiday(holiday_id: UUID, body: ChangeHoliday, write: Write) -> Response:
    """Work on a holiday, or not after all."""
    return await write.run(lambda tx: queries.change_holiday(tx, holiday_id, works=body.works))


@router.get("/time-off")
async def list_time_off(read: Read, limit: Limit = 50, cursor: Cursor = None) -> Page[TimeOff]:
    """Your time off, past and to come, by start."""
    rows = await queries.list_time_off(read, decode_after(cursor), limit + 1)
    return page_of(rows, limit, "starts_at", "id")


@router.post("/time-off", status_code=201, response_model=TimeOff, responses=problems(404, 409))
async def take_time_off(body: TakeTimeOff, write: Write) -> Response:
    """Take time off. Only for coaches. 409 names what is planned in it, which has to be moved or cancelled first."""
    return await write.run(
        lambda tx: service.take_time_off(tx, body), status=201, location=lambda made: f"/v1/time-off/{made.id}"
    )


@router.get("/time-off/{block_id}", responses=problems(404))
async def get_time_off(block_id: UUID, read: Read) -> TimeOff:
    """One stretch of time off."""
    return await queries.get_time_off(read, block_id)


@router.delete("/time-off/{block_id}", status_code=204, responses=problems(404))
async def give_time_back(block_id: UUID, write: Write) -> Response:
    """Give time off back."""
    return await write.run(lambda tx: service.give_time_back(tx, block_id))
