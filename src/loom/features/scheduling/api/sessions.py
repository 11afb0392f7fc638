"""Sessions: booked, listed, changed, moved through their states."""

from __future__ import annotations

from typing import Annotated, Literal
from uuid import UUID

from fastapi import APIRouter, Query
from starlette.responses import Response

from loom.features.scheduling import queries, service
from loom.features.scheduling.schemas import (
    Cancel,
    CreateSession,
    Instant,
    Reschedule,
    Session,
    SessionEvent,
    SessionStatus,
    SessionType,
    UpdateSession,
)
from loom.http import Cursor, Limit, Page, Read, Write, page_of, problems
from loom.http.cursors import decode_after

router = APIRouter(prefix="/sessions", tags=["sessions"])


@router.post("", status_code=201, response_model=Session, responses=problems(404, 409))
async def create_session(body: CreateSession, write: Write) -> Response:
    """Book a session with one client, or make one for a group.

    A client books only what the slots offer; a coach books for one of their clients whenever they are free. 409
    `slot_taken` when the coach is taken, 422 `slot_not_offered` outside what is offered.
    """
    return await write.run(
        lambda tx: service.create_session(tx, body), status=201, location=lambda session: f"/v1/sessions/{session.id}"
    )


@router.get("")
async def list_sessions(
    *,
    read: Read,
    starts_from: Annotated[Instant | None, Query(alias="from", description="Starts at or after.")] = None,
    starts_before: Annotated[Instant | None, Query(alias="to", description="Starts before.")] = None,
    status: SessionStatus | None = None,
    session_type: Annotated[SessionType | None, Query(alias="type")] = None,
    coach_id: UUID | None = None,
    client_id: UUID | None = None,
    order: Literal["asc", "desc"] = "asc",
    limit: Limit = 50,
    cursor: Cursor = None,
) -> Page[Session]:
    """The sessions that the caller coaches or takes part in, by start.

    With `coach_id` or `client_id`: those of that person which the caller may see, for an admin all of them.
    """
    after, latest_first = decode_after(cursor), order == "desc"
    if coach_id is None and client_id is None:
        rows = await queries.list_my_sessions(
            read,
            starts_from=starts_from,
            starts_before=starts_before,
            status=status,
            session_type=session_type,
            latest_first=latest_first,
            after=after,
            limit=limit + 1,
        )
    else:
        rows = await queries.list_sessions(
            read,
            starts_from=starts_from,
            starts_before=starts_before,
            status=status,
            session_type=session_type,
            coach_id=coach_id,
            client_id=client_id,
            latest_first=latest_first,
            after=after,
            limit=limit + 1,
        )
    return page_of(rows, limit, "scheduled_at", "id")


@router.get("/{session_id}", responses=problems(404))
async def get_session(session_id: UUID, read: Read) -> Session:
    """One session."""
    return await queries.get_session(read, session_id)


@router.patch("/{session_id}", response_model=Session, responses=problems(404, 409))
async def update_session(session_id: UUID, body: UpdateSession, write: Write) -> Response:
    """Change what is said about a session. Only its coach."""
    return await write.run(lambda tx: queries.update_session(tx, session_id, body))


@router.post("/{session_id}/start", response_model=Session, responses=problems(404, 409))
async def start_session(session_id: UUID, write: Write) -> Response:
    """It begins. Only its coach, an hour before its time at the earliest."""
    return await write.run(lambda tx: service.moved(tx, session_id, queries.start_session(tx, session_id)))


@router.post("/{session_id}/complete", response_model=Session, responses=problems(404, 409))
async def complete_session(session_id: UUID, write: Write) -> Response:
    """It has taken place. Only its coach."""
    return await write.run(lambda tx: service.moved(tx, session_id, queries.complete_session(tx, session_id)))


@router.post("/{session_id}/no-show", response_model=Session, responses=problems(404, 409))
async def mark_no_show(session_id: UUID, write: Write) -> Response:
    """Nobody came. Only its coach, not before the start."""
    return await write.run(lambda tx: service.moved(tx, session_id, queries.mark_no_show(tx, session_id)))


@router.post("/{session_id}/cancel", response_model=Session, responses=problems(404, 409))
async def cancel_session(session_id: UUID, body: Cancel, write: Write) -> Response:
    """Cancel it as a whole: its coach, or until the start the client of an individual session."""
    return await write.run(lambda tx: service.moved(tx, session_id, queries.cancel_session(tx, session_id, body)))


@router.post("/{session_id}/reschedule", response_model=Session, responses=problems(404, 409))
async def reschedule_session(session_id: UUID, body: Reschedule, write: Write) -> Response:
    """Move it: its coach to any free time, the client of an individual session to a slot on offer."""
    return await write.run(lambda tx: service.moved(tx, session_id, queries.reschedule_session(tx, session_id, body)))


@router.get("/{session_id}/events", responses=problems(404))
async def list_session_events(
    session_id: UUID, read: Read, limit: Limit = 50, cursor: Cursor = None
) -> Page[SessionEvent]:
    """What happened to a session and its seats, oldest first. For its coach; others who take part see none."""
    rows = await service.list_events(read, session_id, decode_after(cursor), limit + 1)
    return page_of(rows, limit, "created_at", "id")
