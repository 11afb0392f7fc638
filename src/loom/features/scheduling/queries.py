"""The queries of scheduling, typed. Each runs as whoever the executor acts for; policies decide what they see."""

from __future__ import annotations

from datetime import datetime
from uuid import UUID

from loom.db.executor import Executor
from loom.db.sql import load_queries
from loom.features.scheduling.schemas import (
    Answer,
    AttendanceRecord,
    Attendee,
    BookIndividual,
    Cancel,
    CreateGroup,
    CreateTemplate,
    DirectoryCoach,
    Invite,
    RecordAttendance,
    Reschedule,
    RosterEntry,
    Session,
    SessionEvent,
    SessionStatus,
    SessionType,
    SlotReason,
    Template,
    UpdateAttendee,
    UpdateSession,
    UpdateTemplate,
)
from loom.http.cursors import After

SQL = load_queries(__package__)


async def list_coaches(q: Executor, after: tuple[str, UUID] | None, limit: int) -> list[DirectoryCoach]:
    """Active coaches by name."""
    name, coach_id = after or (None, None)
    return await q.fetch_all(
        SQL["list_coaches"], {"after_name": name, "after_id": coach_id, "limit": limit}, DirectoryCoach
    )


async def create_template(q: Executor, coach_id: UUID, new: CreateTemplate) -> Template:
    """A new template of a coach."""
    return await q.fetch_one(SQL["create_template"], {"coach_id": coach_id, **new.model_dump()}, Template)


async def list_templates(
    q: Executor, coach_id: UUID | None, active: bool | None, after: tuple[str, UUID] | None, limit: int
) -> list[Template]:
    """Visible templates by title."""
    title, template_id = after or (None, None)
    params = {
        "coach_id": coach_id,
        "active": active,
        "after_title": title,
        "after_id": template_id,
        "limit": limit,
    }
    return await q.fetch_all(SQL["list_templates"], params, Template)


async def get_template(q: Executor, template_id: UUID) -> Template:
    """One template; NotFound."""
    return await q.fetch_one(SQL["get_template"], {"id": template_id}, Template)


async def update_template(q: Executor, template_id: UUID, changes: UpdateTemplate) -> Template:
    """The template after the change; NotFound for one that is not the caller's."""
    params = {"id": template_id, "changes": changes.model_dump_json(exclude_unset=True)}
    return await q.fetch_one(SQL["update_template"], params, Template)


async def slot_reason(q: Executor, coach_id: UUID, template_id: UUID, at: datetime) -> SlotReason:
    """Why a client cannot have a time, if they cannot."""
    params = {"coach_id": coach_id, "template_id": template_id, "at": at}
    return await q.fetch_one(SQL["slot_reason"], params, SlotReason)


async def book_session(q: Executor, new: BookIndividual) -> UUID:
    """The new session's id; 409 slot_taken, 422 slot_not_offered."""
    return await q.fetch_value(SQL["book_session"], new.model_dump(exclude={"type"}))


async def create_group_session(q: Executor, new: CreateGroup) -> UUID:
    """The new session's id; 409 slot_taken."""
    return await q.fetch_value(SQL["create_group_session"], new.model_dump(exclude={"type"}))


async def get_session(q: Executor, session_id: UUID) -> Session:
    """One session; NotFound."""
    return await q.fetch_one(SQL["get_session"], {"id": session_id}, Session)


async def list_my_sessions(
    q: Executor,
    *,
    starts_from: datetime | None,
    starts_before: datetime | None,
    status: SessionStatus | None,
    session_type: SessionType | None,
    latest_first: bool,
    after: After,
    limit: int,
) -> list[Session]:
    """The sessions that the caller coaches or holds a seat in, by start."""
    params = {
        "starts_from": starts_from,
        "starts_before": starts_before,
        "status": status,
        "type": session_type,
        "after_time": after.at,
        "after_id": after.id,
        "limit": limit,
    }
    query = SQL["list_my_sessions_latest_first"] if latest_first else SQL["list_my_sessions"]
    return await q.fetch_all(query, params, Session)


async def list_sessions(
    q: Executor,
    *,
    starts_from: datetime | None,
    starts_before: datetime | None,
    status: SessionStatus | None,
    session_type: SessionType | None,
    coach_id: UUID | None,
    client_id: UUID | None,
    latest_first: bool,
    after: After,
    limit: int,
) -> list[Session]:
    """Visible sessions of a coach or client, by start."""
    params = {
        "starts_from": starts_from,
        "starts_before": starts_before,
        "status": status,
        "type": session_type,
        "coach_id": coach_id,
        "client_id": client_id,
        "after_time": after.at,
        "after_id": after.id,
        "limit": limit,
    }
    query = SQL["list_sessions_latest_first"] if latest_first else SQL["list_sessions"]
    return await q.fetch_all(query, params, Session)


async def update_session(q: Executor, session_id: UUID, changes: UpdateSession) -> Session:
    """The session after the change; NotFound for one that the caller does not coach."""
    params = {"id": session_id, "changes": changes.model_dump_json(exclude_unset=True)}
    return await q.fetch_one(SQL["update_session"], params, Session)


async def start_session(q: Executor, session_id: UUID) -> None:
    """409 session_state_conflict."""
    await q.execute(SQL["start_session"], {"id": session_id})


async def complete_session(q: Executor, session_id: UUID) -> None:
    """409 session_state_conflict, session_not_started."""
    await q.execute(SQL["complete_session"], {"id": session_id})


async def mark_no_show(q: Executor, session_id: UUID) -> None:
    """409 session_state_conflict, session_not_started."""
    await q.execute(SQL["mark_no_show"], {"id": session_id})


async def cancel_session(q: Executor, session_id: UUID, how: Cancel) -> None:
    """409 session_state_conflict; 422 group_has_no_client."""
    await q.execute(SQL["cancel_session"], {"id": session_id, **how.model_dump()})


async def reschedule_session(q: Executor, session_id: UUID, to: Reschedule) -> None:
    """409 slot_taken, session_state_conflict; 422 slot_not_offered."""
    await q.execute(SQL["reschedule_session"], {"id": session_id, **to.model_dump()})


async def list_events(q: Executor, session_id: UUID, after: After, limit: int) -> list[SessionEvent]:
    """The history of a session, oldest first."""
    params = {"session_id": session_id, "after_time": after.at, "after_id": after.id, "limit": limit}
    return await q.fetch_all(SQL["list_events"], params, SessionEvent)


async def invite_attendee(q: Executor, session_id: UUID, who: Invite) -> UUID:
    """The seat's id; 409 already_invited, session_full, session_not_open."""
    query = SQL["invite_to_series"] if who.following else SQL["invite_attendee"]
    return await q.fetch_value(query, {"session_id": session_id, **who.model_dump(exclude={"following"})})


async def get_attendee(q: Executor, attendee_id: UUID) -> Attendee:
    """One seat; NotFound."""
    return await q.fetch_one(SQL["get_attendee"], {"id": attendee_id}, Attendee)


async def list_attendees(q: Executor, session_id: UUID, after: After, limit: int) -> list[Attendee]:
    """The seats of a session that the caller sees, oldest first."""
    params = {"session_id": session_id, "after_time": after.at, "after_id": after.id, "limit": limit}
    return await q.fetch_all(SQL["list_attendees"], params, Attendee)


async def update_attendee(q: Executor, attendee_id: UUID, changes: UpdateAttendee) -> int:
    """How many seats changed: none when it is not one of the caller's sessions."""
    params = {"id": attendee_id, "changes": changes.model_dump_json(exclude_unset=True)}
    return await q.execute(SQL["update_attendee"], params)


async def respond_to_invitation(q: Executor, session_id: UUID, answer: Answer) -> UUID:
    """The id of the caller's own seat."""
    return await q.fetch_value(SQL["respond_to_invitation"], {"session_id": session_id, "answer": answer})


async def record_attendance(q: Executor, attendee_id: UUID, new: RecordAttendance) -> UUID:
    """The record's id; 409 attendance_conflict, nonce_reused, seat_state_conflict, session_not_open."""
    return await q.fetch_value(SQL["record_attendance"], {"attendee_id": attendee_id, **new.model_dump()})


async def get_attendance(q: Executor, record_id: UUID) -> AttendanceRecord:
    """One record; NotFound."""
    return await q.fetch_one(SQL["get_attendance"], {"id": record_id}, AttendanceRecord)


async def list_attendance(q: Executor, attendee_id: UUID, after_number: int, limit: int) -> list[AttendanceRecord]:
    """The attendance of a seat, oldest first."""
    params = {"attendee_id": attendee_id, "after_number": after_number, "limit": limit}
    return await q.fetch_all(SQL["list_attendance"], params, AttendanceRecord)


async def leave_session(q: Executor, session_id: UUID, reason: str | None) -> UUID:
    """The id of the seat that the caller gave up."""
    return await q.fetch_value(SQL["leave_session"], {"session_id": session_id, "reason": reason})


async def cancel_attendee(q: Executor, attendee_id: UUID, how: Cancel) -> None:
    """409 session_not_open, seat_is_the_session."""
    await q.execute(SQL["cancel_attendee"], {"id": attendee_id, **how.model_dump()})


async def session_roster(q: Executor, session_id: UUID) -> list[RosterEntry]:
    """Names of who takes part, as far as the caller may know them."""
    return await q.fetch_all(SQL["session_roster"], {"session_id": session_id}, RosterEntry)


async def clear_expired_holds(q: Executor) -> int:
    """How many there were. Only for the service role."""
    return await q.fetch_value(SQL["clear_expired_holds"], {})


async def derive_no_shows(q: Executor) -> int:
    """How many were recorded. Only for the service role."""
    return await q.fetch_value(SQL["derive_no_shows"], {})
