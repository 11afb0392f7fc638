"""What a client sees of coaches: those they have, and those who ask."""

from __future__ import annotations

from uuid import UUID

from fastapi import APIRouter
from starlette.responses import Response

from loom.features.practice import queries
from loom.features.practice.schemas import Coach, CoachInvitation
from loom.http import Cursor, Limit, Page, Read, Write, page_of, problems
from loom.http.cursors import decode_after

router = APIRouter(tags=["coaches"])


@router.get("/coaches")
async def list_coaches(read: Read, limit: Limit = 50, cursor: Cursor = None) -> Page[Coach]:
    """The coaches whose client you are, newest first."""
    rows = await queries.list_coaches(read, after=decode_after(cursor), limit=limit)
    return page_of(rows, limit, "created_at", "id")


@router.get("/coach-invitations")
async def list_coach_invitations(read: Read, limit: Limit = 50, cursor: Cursor = None) -> Page[CoachInvitation]:
    """Coaches who invited you, by your account or your verified address, and wait for your answer."""
    rows = await queries.list_coach_invitations(read, after=decode_after(cursor), limit=limit)
    return page_of(rows, limit, "invited_at", "id")


@router.post("/coach-invitations/{coach_client_id}/accept", status_code=204, responses=problems(404))
async def accept_coach_invitation(coach_client_id: UUID, write: Write) -> Response:
    """Become the coach's client."""
    return await write.run(lambda tx: queries.answer_coach_invitation(tx, coach_client_id, "accept"))


@router.post("/coach-invitations/{coach_client_id}/decline", status_code=204, responses=problems(404))
async def decline_coach_invitation(coach_client_id: UUID, write: Write) -> Response:
    """Say no to a coach."""
    return await write.run(lambda tx: queries.answer_coach_invitation(tx, coach_client_id, "decline"))
