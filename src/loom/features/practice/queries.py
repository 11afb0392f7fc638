"""What the practice asks of the database, as typed functions. Policies decide what is found."""

from __future__ import annotations

from datetime import datetime
from typing import Literal
from uuid import UUID

from pydantic import BaseModel

from loom.core.errors import NotFound
from loom.db.executor import Executor
from loom.db.sql import load_queries
from loom.features.practice.schemas import (
    AddClient,
    ChangeClient,
    ChangeNote,
    ChangePractice,
    ChangeReflection,
    Client,
    ClientStatus,
    Coach,
    CoachInvitation,
    Language,
    Note,
    OwnRange,
    Practice,
    Range,
    Reflection,
    SetAvailability,
    WriteNote,
    WriteReflection,
)
from loom.http.cursors import After

SQL = load_queries("loom.features.practice")


class Invitation(BaseModel):
    """What the mail of an invitation needs to know."""

    id: UUID
    email: str | None
    display_name: str | None
    status: ClientStatus
    invited_at: datetime | None
    practice_name: str
    language: Language
    coach_name: str


async def list_clients(
    q: Executor, *, status: ClientStatus | None, search: str | None, after: After, limit: int
) -> list[Client]:
    """The caller's clients, newest first, one more than `limit` where there are more."""
    return await q.fetch_all(
        SQL["list_clients"],
        {"status": status, "search": search, "after_at": after.at, "after_id": after.id, "limit": limit + 1},
        Client,
    )


async def get_client(q: Executor, coach_client_id: UUID) -> Client:
    """One relation, to its coach and its client."""
    return await q.fetch_one(SQL["get_client"], {"id": coach_client_id}, Client)


async def add_client(q: Executor, new: AddClient) -> UUID:
    """The id of the new relation."""
    return _found(
        await q.fetch_value(
            SQL["add_client"], {"display_name": new.display_name, "email": new.email, "phone": new.phone}
        )
    )


async def change_client(q: Executor, coach_client_id: UUID, change: ChangeClient) -> None:
    """Changes what the coach keeps about a client."""
    _found(await q.fetch_value(SQL["change_client"], {"id": coach_client_id, "patch": change.changes()}))


async def end_client(q: Executor, coach_client_id: UUID) -> None:
    """Ends the relation; what it produced stays."""
    _found(await q.fetch_value(SQL["end_client"], {"id": coach_client_id}))


async def invite_client(q: Executor, coach_client_id: UUID) -> None:
    """Marks the client as invited and enqueues the mail, both in this transaction."""
    await q.fetch_value(SQL["invite_client"], {"id": coach_client_id})


async def resume_client(q: Executor, coach_client_id: UUID) -> None:
    """Takes an ended relation up again, unless the client has ended it."""
    _found(await q.fetch_value(SQL["resume_client"], {"id": coach_client_id}))


async def leave_coach(q: Executor, coach_client_id: UUID) -> None:
    """The client ends the relation."""
    await q.fetch_value(SQL["leave_coach"], {"id": coach_client_id})


async def list_coaches(q: Executor, *, after: After, limit: int) -> list[Coach]:
    """The coaches whose client the caller is, newest first."""
    return await q.fetch_all(
        SQL["list_coaches"], {"after_at": after.at, "after_id": after.id, "limit": limit + 1}, Coach
    )


async def list_coach_invitations(q: Executor, *, after: After, limit: int) -> list[CoachInvitation]:
    """Invitations that wait for the caller's answer, newest first."""
    return await q.fetch_all(
        SQL["list_coach_invitations"],
        {"after_at": after.at, "after_id": after.id, "limit": limit + 1},
        CoachInvitation,
    )


async def answer_coach_invitation(q: Executor, coach_client_id: UUID, answer: Literal["accept", "decline"]) -> None:
    """The invited person answers."""
    await q.fetch_value(SQL["answer_coach_invitation"], {"id": coach_client_id, "answer": answer})


async def get_invitation(q: Executor, coach_client_id: UUID) -> Invitation | None:
    """What the mail needs, or None when the relation is gone."""
    return await q.find_one(SQL["get_invitation"], {"id": coach_client_id}, Invitation)


async def get_own_availability(q: Executor) -> list[OwnRange]:
    """The caller's week."""
    return await q.fetch_all(SQL["get_own_availability"], {}, OwnRange)


async def set_availability(q: Executor, week: SetAvailability) -> list[OwnRange]:
    """Replaces the caller's week at once."""
    ranges = "[" + ",".join(one.model_dump_json() for one in week.ranges) + "]"
    return await q.fetch_all(SQL["set_availability"], {"timezone": week.timezone, "ranges": ranges}, OwnRange)


async def get_coach_availability(q: Executor, coach_id: UUID) -> list[Range]:
    """A coach's week as others see it; NotFound when there is no such coach."""
    return await q.fetch_all(SQL["get_coach_availability"], {"coach_id": coach_id}, Range)


async def list_notes(
    q: Executor, *, client_id: UUID | None, session_id: UUID | None, after: After, limit: int
) -> list[Note]:
    """Notes that the caller wrote, or that were shared with them, newest first."""
    return await q.fetch_all(
        SQL["list_notes"],
        {
            "client_id": client_id,
            "session_id": session_id,
            "after_at": after.at,
            "after_id": after.id,
            "limit": limit + 1,
        },
        Note,
    )


async def get_note(q: Executor, note_id: UUID) -> Note:
    """One note."""
    return await q.fetch_one(SQL["get_note"], {"id": note_id}, Note)


async def write_note(q: Executor, new: WriteNote) -> Note:
    """A new note of the caller."""
    return await q.fetch_one(
        SQL["write_note"],
        {
            "client_id": new.client_id,
            "session_id": new.session_id,
            "title": new.title,
            "content": new.content,
            "privacy_level": new.privacy_level,
            "tags": new.tags,
        },
        Note,
    )


async def change_note(q: Executor, note_id: UUID, change: ChangeNote) -> Note:
    """The note as it is now."""
    return await q.fetch_one(SQL["change_note"], {"id": note_id, "patch": change.changes()}, Note)


async def delete_note(q: Executor, note_id: UUID) -> None:
    """NotFound when there was none to delete."""
    _some(await q.execute(SQL["delete_note"], {"id": note_id}))


async def list_reflections(
    q: Executor, *, client_id: UUID | None, session_id: UUID | None, after: After, limit: int
) -> list[Reflection]:
    """The caller's reflections and, to a coach, those on the coach's sessions, newest first."""
    return await q.fetch_all(
        SQL["list_reflections"],
        {
            "client_id": client_id,
            "session_id": session_id,
            "after_at": after.at,
            "after_id": after.id,
            "limit": limit + 1,
        },
        Reflection,
    )


async def get_reflection(q: Executor, reflection_id: UUID) -> Reflection:
    """One reflection."""
    return await q.fetch_one(SQL["get_reflection"], {"id": reflection_id}, Reflection)


async def write_reflection(q: Executor, new: WriteReflection) -> Reflection:
    """A new reflection of the caller."""
    return await q.fetch_one(
        SQL["write_reflection"],
        {
            "session_id": new.session_id,
            "content": new.content,
            "mood_rating": new.mood_rating,
            "insights": new.insights,
            "goals_for_next_session": new.goals_for_next_session,
        },
        Reflection,
    )


async def change_reflection(q: Executor, reflection_id: UUID, change: ChangeReflection) -> Reflection:
    """The reflection as it is now."""
    return await q.fetch_one(SQL["change_reflection"], {"id": reflection_id, "patch": change.changes()}, Reflection)


async def delete_reflection(q: Executor, reflection_id: UUID) -> None:
    """NotFound when there was none to delete."""
    _some(await q.execute(SQL["delete_reflection"], {"id": reflection_id}))


async def get_practice(q: Executor) -> Practice:
    """The practice that the caller works in."""
    return await q.fetch_one(SQL["get_practice"], {}, Practice)


async def change_practice(q: Executor, change: ChangePractice) -> Practice:
    """The practice as it is now; NotFound for everybody but its owners."""
    return await q.fetch_one(SQL["change_practice"], {"patch": change.changes()}, Practice)


def _found(value: UUID | None) -> UUID:
    if value is None:
        raise NotFound
    return value


def _some(count: int) -> None:
    if count == 0:
        raise NotFound
