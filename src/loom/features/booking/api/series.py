"""Sessions that recur."""

from __future__ import annotations

from uuid import UUID

from fastapi import APIRouter
from starlette.responses import Response

from loom.features.booking import queries, service
from loom.features.booking.schemas import (
    CancelSeries,
    Changed,
    CreateSeries,
    MoveSeries,
    PlannedTime,
    PlanSeries,
    Series,
    SeriesWithSessions,
)
from loom.http import Cursor, Limit, Page, Read, Write, page_of, problems
from loom.http.cursors import decode_after

router = APIRouter(tags=["series"])


@router.post("/series/plan", response_model=Page[PlannedTime], responses=problems(404))
async def plan_series(body: PlanSeries, write: Write) -> Response:
    """What would become of each time of a rule, with what is in its way. Books nothing."""
    return await write.run(lambda tx: service.plan_series(tx, body))


@router.post("/series", status_code=201, response_model=SeriesWithSessions, responses=problems(404, 409))
async def create_series(body: CreateSeries, write: Write) -> Response:
    """Book every time of a rule, or those picked, or none: 409 `series_conflict` names what is in the way.

    A coach makes a series for a client, or from a group template sessions of a group, to which people are invited.
    """
    return await write.run(
        lambda tx: service.create_series(tx, body), status=201, location=lambda made: f"/v1/series/{made.id}"
    )


@router.get("/series")
async def list_session_series(read: Read, limit: Limit = 50, cursor: Cursor = None) -> Page[Series]:
    """Your series as a coach or client, oldest first."""
    return page_of(await queries.list_series(read, decode_after(cursor), limit + 1), limit, "created_at", "id")


@router.get("/series/{series_id}", responses=problems(404))
async def get_series(series_id: UUID, read: Read) -> SeriesWithSessions:
    """A series and its sessions."""
    return await service.get_series(read, series_id)


@router.post("/sessions/{session_id}/move-following", response_model=Changed, responses=problems(404, 409))
async def move_following(session_id: UUID, body: MoveSeries, write: Write) -> Response:
    """Move a session of a series, and all after it by as much of the clock: all or none. Only the coach."""
    return await write.run(lambda tx: service.move_series(tx, session_id, body))


@router.post("/sessions/{session_id}/cancel-following", response_model=Changed, responses=problems(404, 409))
async def cancel_following(session_id: UUID, body: CancelSeries, write: Write) -> Response:
    """Cancel a session of a series and all after it, each by its own terms."""
    return await write.run(lambda tx: service.cancel_series(tx, session_id, body))
