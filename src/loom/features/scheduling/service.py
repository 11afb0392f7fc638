"""What a request does with sessions: one move in the database, then the thing as it is afterwards."""

from __future__ import annotations

from collections.abc import Awaitable
from uuid import UUID

from loom.core.errors import NotFound
from loom.db.executor import Executor
from loom.features.scheduling import queries
from loom.features.scheduling.schemas import (
    Answer,
    AttendanceRecord,
    Attendee,
    BookIndividual,
    Cancel,
    CreateGroup,
    Invite,
    RecordAttendance,
    Session,
    SessionEvent,
    UpdateAttendee,
)
from loom.http.cursors import After


async def create_session(q: Executor, new: BookIndividual | CreateGroup) -> Session:
    """Book an individual session or make one for a group."""
    if isinstance(new, CreateGroup):
        session_id = await queries.create_group_session(q, new)
    else:
        session_id = await queries.book_session(q, new)
    return await queries.get_session(q, session_id)


async def moved(q: Executor, session_id: UUID, move: Awaitable[None]) -> Session:
    """The session after a move of it."""
    await move
    return await queries.get_session(q, session_id)


async def invite(q: Executor, session_id: UUID, who: Invite) -> Attendee:
    """A seat for somebody; the mail goes out after the commit."""
    return await queries.get_attendee(q, await queries.invite_attendee(q, session_id, who))


async def list_attendees(q: Executor, session_id: UUID, after: After, limit: int) -> list[Attendee]:
    """The seats that the caller sees. NotFound when there are none: every session has its coach's."""
    rows = await queries.list_attendees(q, session_id, after, limit)
    if not rows and after.id is None:
        raise NotFound
    return rows


async def list_events(q: Executor, session_id: UUID, after: After, limit: int) -> list[SessionEvent]:
    """What the caller sees of a session's history; NotFound for a session that is none of theirs."""
    rows = await queries.list_events(q, session_id, after, limit)
    if not rows and after.id is None:
        await queries.get_session(q, session_id)
    return rows


async def update_attendee(q: Executor, attendee_id: UUID, changes: UpdateAttendee) -> Attendee:
    """The seat after the change; NotFound when it is not in one of the caller's sessions."""
    if await queries.update_attendee(q, attendee_id, changes) == 0:
        raise NotFound
    return await queries.get_attendee(q, attendee_id)


async def respond(q: Executor, session_id: UUID, answer: Answer) -> Attendee:
    """The caller's seat after the answer."""
    return await queries.get_attendee(q, await queries.respond_to_invitation(q, session_id, answer))


async def record_attendance(q: Executor, attendee_id: UUID, new: RecordAttendance) -> AttendanceRecord:
    """The record, or the one that said so before."""
    return await queries.get_attendance(q, await queries.record_attendance(q, attendee_id, new))


async def list_attendance(q: Executor, attendee_id: UUID, after_number: int, limit: int) -> list[AttendanceRecord]:
    """The attendance of a seat; NotFound for one that is none of the caller's."""
    rows = await queries.list_attendance(q, attendee_id, after_number, limit)
    if not rows and not after_number:
        await queries.get_attendee(q, attendee_id)
    return rows


async def leave(q: Executor, session_id: UUID, reason: str | None) -> Attendee:
    """The seat that the caller gave up."""
    return await queries.get_attendee(q, await queries.leave_session(q, session_id, reason))


async def cancel_attendee(q: Executor, attendee_id: UUID, how: Cancel) -> Attendee:
    """The seat that the coach took away."""
    await queries.cancel_attendee(q, attendee_id, how)
    return await queries.get_attendee(q, attendee_id)
