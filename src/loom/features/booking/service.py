"""What a request does before and after a session."""

from __future__ import annotations

from uuid import UUID

from loom.core.errors import NotFound
from loom.db.executor import Executor
from loom.features.booking import queries
from loom.features.booking.recurrence import occurrences
from loom.features.booking.schemas import (
    Ask,
    BookingRequest,
    CancelSeries,
    Changed,
    CreateSeries,
    Hold,
    MoveSeries,
    Outcome,
    PlannedTime,
    PlanSeries,
    SeriesWithSessions,
)
from loom.http import Page


async def delete_policy(q: Executor, template_id: UUID | None) -> None:
    """NotFound when there was none to remove."""
    if await queries.delete_policy(q, template_id) == 0:
        raise NotFound


async def waive(q: Executor, outcome_id: UUID, reason: str | None) -> Outcome:
    """The outcome that nobody owes any more."""
    await queries.waive_outcome(q, outcome_id, reason)
    return await queries.get_outcome(q, outcome_id)


async def ask(q: Executor, new: Hold | Ask) -> BookingRequest:
    """What is held or asked for."""
    made = queries.request_slot(q, new) if isinstance(new, Ask) else queries.hold_slot(q, new)
    return await queries.get_request(q, await made)


async def accept(q: Executor, request_id: UUID) -> BookingRequest:
    """The request with its session."""
    await queries.accept_request(q, request_id)
    return await queries.get_request(q, request_id)


async def close(q: Executor, request_id: UUID, reason: str | None) -> BookingRequest:
    """The request that comes to nothing."""
    await queries.close_request(q, request_id, reason)
    return await queries.get_request(q, request_id)


async def plan_series(q: Executor, new: PlanSeries) -> Page[PlannedTime]:
    """What would become of each time of a rule."""
    times = await queries.plan_series(q, new, occurrences(new.rule, new.local_start, new.timezone))
    return Page[PlannedTime](items=times, next_cursor=None)


async def create_series(q: Executor, new: CreateSeries) -> SeriesWithSessions:
    """The series with its sessions: all that were asked for."""
    times = occurrences(new.rule, new.local_start, new.timezone)
    return await get_series(q, await queries.create_series(q, new, times))


async def get_series(q: Executor, series_id: UUID) -> SeriesWithSessions:
    """A series and its sessions; NotFound."""
    series = await queries.get_series(q, series_id)
    return SeriesWithSessions(**series.model_dump(), sessions=await queries.list_series_sessions(q, series_id))


async def move_series(q: Executor, session_id: UUID, to: MoveSeries) -> Changed:
    """How many sessions were moved."""
    return Changed(sessions=await queries.move_series(q, session_id, to))


async def cancel_series(q: Executor, session_id: UUID, how: CancelSeries) -> Changed:
    """How many sessions were cancelled."""
    return Changed(sessions=await queries.cancel_series(q, session_id, how))
