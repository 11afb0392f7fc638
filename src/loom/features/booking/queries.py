"""The queries of booking, typed. Each runs as whoever the executor acts for; policies decide what they see."""

from __future__ import annotations

from datetime import datetime
from uuid import UUID

from loom.db.executor import Executor
from loom.db.sql import load_queries
from loom.features.booking.schemas import (
    Ask,
    BookingRequest,
    CancelSeries,
    CreateSeries,
    Hold,
    MoveSeries,
    Outcome,
    PlannedTime,
    PlanSeries,
    Quote,
    RequestKind,
    RequestStatus,
    Series,
    SeriesSession,
    SetPolicy,
    Terms,
)
from loom.http.cursors import After

SQL = load_queries(__package__)


async def set_policy(q: Executor, template_id: UUID | None, new: SetPolicy) -> Terms:
    """The caller's policy for a template, or for everything."""
    params = {
        "template_id": template_id,
        "tiers": new.tiers_json(),
        "currency": new.currency,
        "free_moves": new.free_moves,
        "late_moves": new.late_moves,
    }
    return await q.fetch_one(SQL["set_policy"], params, Terms)


async def get_own_policy(q: Executor) -> Terms:
    """The caller's policy for everything; NotFound when there is none."""
    return await q.fetch_one(SQL["get_own_policy"], {}, Terms)


async def delete_policy(q: Executor, template_id: UUID | None) -> int:
    """How many were removed: one or none."""
    return await q.execute(SQL["delete_policy"], {"template_id": template_id})


async def cancellation_terms(q: Executor, template_id: UUID) -> Terms:
    """What a booking from a template would be held to; NotFound for one that is not on offer."""
    return await q.fetch_one(SQL["cancellation_terms"], {"template_id": template_id}, Terms)


async def cancellation_quote(q: Executor, session_id: UUID, attendee_id: UUID | None) -> Quote:
    """What giving up the caller's seat, or for the coach the seat named, costs now."""
    return await q.fetch_one(SQL["cancellation_quote"], {"session_id": session_id, "attendee_id": attendee_id}, Quote)


async def list_outcomes(
    q: Executor, *, session_id: UUID | None, owed: bool | None, after: After, limit: int
) -> list[Outcome]:
    """Visible outcomes of a session, or all of the calling coach's."""
    params = {
        "session_id": session_id,
        "owed": owed,
        "after_time": after.at,
        "after_id": after.id,
        "limit": limit,
    }
    return await q.fetch_all(SQL["list_outcomes"], params, Outcome)


async def get_outcome(q: Executor, outcome_id: UUID) -> Outcome:
    """One outcome; NotFound."""
    return await q.fetch_one(SQL["get_outcome"], {"id": outcome_id}, Outcome)


async def waive_outcome(q: Executor, outcome_id: UUID, reason: str | None) -> None:
    """NotFound for one that is not the caller's as a coach."""
    await q.execute(SQL["waive_outcome"], {"id": outcome_id, "reason": reason})


async def hold_slot(q: Executor, new: Hold) -> UUID:
    """The request's id; 409 slot_taken, 422 slot_not_offered."""
    return await q.fetch_value(SQL["hold_slot"], new.model_dump())


async def request_slot(q: Executor, new: Ask) -> UUID:
    """The request's id; 422 slot_not_offered."""
    return await q.fetch_value(SQL["request_slot"], new.model_dump())


async def get_request(q: Executor, request_id: UUID) -> BookingRequest:
    """One request; NotFound."""
    return await q.fetch_one(SQL["get_request"], {"id": request_id}, BookingRequest)


async def list_requests(
    q: Executor, *, kind: RequestKind | None, status: RequestStatus | None, after: After, limit: int
) -> list[BookingRequest]:
    """What the caller holds or asks for, and what a coach is asked for, oldest first."""
    params = {"kind": kind, "status": status, "after_time": after.at, "after_id": after.id, "limit": limit}
    return await q.fetch_all(SQL["list_requests"], params, BookingRequest)


async def accept_request(q: Executor, request_id: UUID) -> None:
    """409 slot_taken, hold_expired, request_closed."""
    await q.execute(SQL["accept_request"], {"id": request_id})


async def close_request(q: Executor, request_id: UUID, reason: str | None) -> None:
    """409 request_closed."""
    await q.execute(SQL["close_request"], {"id": request_id, "reason": reason})


async def plan_series(q: Executor, new: PlanSeries, local_starts: list[datetime]) -> list[PlannedTime]:
    """What would become of each time."""
    params = {
        "template_id": new.template_id,
        "local_starts": local_starts,
        "timezone": new.timezone,
        "missing": new.missing_times,
    }
    return await q.fetch_all(SQL["plan_series"], params, PlannedTime)


async def create_series(q: Executor, new: CreateSeries, local_starts: list[datetime]) -> UUID:
    """The series' id; 409 series_conflict names what is in the way."""
    params = {
        "template_id": new.template_id,
        "local_starts": local_starts,
        "timezone": new.timezone,
        "rule": new.rule,
        "client_id": new.client_id,
        "missing": new.missing_times,
        "only": new.only,
        "capacity": new.capacity,
    }
    return await q.fetch_value(SQL["create_series"], params)


async def get_series(q: Executor, series_id: UUID) -> Series:
    """One series; NotFound."""
    return await q.fetch_one(SQL["get_series"], {"id": series_id}, Series)


async def list_series(q: Executor, after: After, limit: int) -> list[Series]:
    """The caller's series as a coach or client, oldest first."""
    return await q.fetch_all(SQL["list_series"], {"after_time": after.at, "after_id": after.id, "limit": limit}, Series)


async def list_series_sessions(q: Executor, series_id: UUID) -> list[SeriesSession]:
    """The sessions of a series that the caller sees, in order."""
    return await q.fetch_all(SQL["list_series_sessions"], {"series_id": series_id}, SeriesSession)


async def move_series(q: Executor, session_id: UUID, to: MoveSeries) -> int:
    """How many sessions were moved; 409 series_conflict."""
    params = {"session_id": session_id, "starts_at": to.starts_at, "missing": to.missing_times}
    return await q.fetch_value(SQL["move_series"], params)


async def cancel_series(q: Executor, session_id: UUID, how: CancelSeries) -> int:
    """How many sessions were cancelled."""
    return await q.fetch_value(SQL["cancel_series"], {"session_id": session_id, **how.model_dump()})
