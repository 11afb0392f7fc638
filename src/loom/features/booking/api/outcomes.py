"""What giving up a seat would cost, and what is owed for those that were."""

from __future__ import annotations

from uuid import UUID

from fastapi import APIRouter
from starlette.responses import Response

from loom.features.booking import queries, service
from loom.features.booking.schemas import Outcome, Quote, Waive
from loom.http import Cursor, Limit, Page, Read, Write, page_of, problems
from loom.http.cursors import decode_after

router = APIRouter(tags=["cancellation"])


@router.get("/sessions/{session_id}/cancellation", responses=problems(404))
async def get_quote(session_id: UUID, read: Read, attendee_id: UUID | None = None) -> Quote:
    """What giving up your seat costs now and from when on it costs more. A coach names the seat."""
    return await queries.cancellation_quote(read, session_id, attendee_id)


@router.get("/sessions/{session_id}/outcomes")
async def list_session_outcomes(
    session_id: UUID, read: Read, limit: Limit = 50, cursor: Cursor = None
) -> Page[Outcome]:
    """What is owed for the seats of a session, oldest first: all for its coach, one's own for others."""
    rows = await queries.list_outcomes(
        read, session_id=session_id, owed=None, after=decode_after(cursor), limit=limit + 1
    )
    return page_of(rows, limit, "created_at", "id")


@router.get("/outcomes")
async def list_outcomes(
    read: Read, owed: bool | None = None, limit: Limit = 50, cursor: Cursor = None
) -> Page[Outcome]:
    """Everything that your clients owe or do not for seats given up, moved late or missed, oldest first."""
    rows = await queries.list_outcomes(read, session_id=None, owed=owed, after=decode_after(cursor), limit=limit + 1)
    return page_of(rows, limit, "created_at", "id")


@router.post("/outcomes/{outcome_id}/waive", response_model=Outcome, responses=problems(404))
async def waive_outcome(outcome_id: UUID, body: Waive, write: Write) -> Response:
    """Let somebody off. Only the coach; twice changes nothing more."""
    return await write.run(lambda tx: service.waive(tx, outcome_id, body.reason))
