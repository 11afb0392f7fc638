"""Seats: who is asked, what they answer, who came."""

from __future__ import annotations

from uuid import UUID

from fastapi import APIRouter
from starlette.responses import Response

from loom.features.scheduling import queries, service
from loom.features.scheduling.api.cursors import after_number
from loom.features.scheduling.schemas import (
    AttendanceRecord,
    Attendee,
    Cancel,
    Invite,
    RecordAttendance,
    Respond,
    RosterEntry,
    UpdateAttendee,
    WithReason,
)
from loom.http import Cursor, Limit, Page, Read, Write, page_of, problems
from loom.http.cursors import decode_after

router = APIRouter(tags=["attendees"])


@router.post("/sessions/{session_id}/attendees", status_code=201, response_model=Attendee, responses=problems(404, 409))
async def invite_attendee(session_id: UUID, body: Invite, write: Write) -> Response:
    """Ask a client by id or a guest by e-mail address. Only the coach. The mail goes out in the background."""
    return await write.run(
        lambda tx: service.invite(tx, session_id, body),
        status=201,
        location=lambda attendee: f"/v1/attendees/{attendee.id}",
    )


@router.get("/sessions/{session_id}/attendees", responses=problems(404))
async def list_attendees(session_id: UUID, read: Read, limit: Limit = 50, cursor: Cursor = None) -> Page[Attendee]:
    """The seats with their answers and prices: all for the coach, one's own for others."""
    rows = await service.list_attendees(read, session_id, decode_after(cursor), limit + 1)
    return page_of(rows, limit, "created_at", "id")


@router.get("/sessions/{session_id}/roster", responses=problems(404))
async def get_roster(session_id: UUID, read: Read) -> Page[RosterEntry]:
    """Who takes part, by name. Others' names only where the session shows its roster; all for the coach."""
    return Page[RosterEntry](items=await queries.session_roster(read, session_id), next_cursor=None)


@router.post("/sessions/{session_id}/respond", response_model=Attendee, responses=problems(404, 409))
async def respond_to_invitation(session_id: UUID, body: Respond, write: Write) -> Response:
    """Confirm or decline one's own invitation, until the session starts."""
    return await write.run(lambda tx: service.respond(tx, session_id, body.answer))


@router.post("/sessions/{session_id}/leave", response_model=Attendee, responses=problems(404, 409))
async def leave_session(session_id: UUID, body: WithReason, write: Write) -> Response:
    """Give up one's own seat in a group."""
    return await write.run(lambda tx: service.leave(tx, session_id, body.reason))


@router.get("/attendees/{attendee_id}", responses=problems(404))
async def get_attendee(attendee_id: UUID, read: Read) -> Attendee:
    """One seat."""
    return await queries.get_attendee(read, attendee_id)


@router.patch("/attendees/{attendee_id}", response_model=Attendee, responses=problems(404, 409))
async def update_attendee(attendee_id: UUID, body: UpdateAttendee, write: Write) -> Response:
    """Change the name, the shared note or the price of a seat. Only the coach."""
    return await write.run(lambda tx: service.update_attendee(tx, attendee_id, body))


@router.post("/attendees/{attendee_id}/attendance", response_model=AttendanceRecord, responses=problems(404, 409))
async def record_attendance(attendee_id: UUID, body: RecordAttendance, write: Write) -> Response:
    """They came, left, did not come, or the last of these is taken back. Only the coach.

    The answer to the invitation stays as it is; an undo restores what was before. The same `nonce` again, or what is in
    force already, gives the record that is there.
    """
    return await write.run(lambda tx: service.record_attendance(tx, attendee_id, body))


@router.get("/attendees/{attendee_id}/attendance", responses=problems(404))
async def list_attendance(
    attendee_id: UUID, read: Read, limit: Limit = 50, cursor: Cursor = None
) -> Page[AttendanceRecord]:
    """Who recorded what about a seat, oldest first: for the coach, and for the seat's own person."""
    rows = await service.list_attendance(read, attendee_id, after_number(cursor), limit + 1)
    return page_of(rows, limit, "number")


@router.post("/attendees/{attendee_id}/cancel", response_model=Attendee, responses=problems(404, 409))
async def cancel_attendee(attendee_id: UUID, body: Cancel, write: Write) -> Response:
    """Take a seat away before the session. Only the coach."""
    return await write.run(lambda tx: service.cancel_attendee(tx, attendee_id, body))
