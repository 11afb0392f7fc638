"""Routes of credits: what clients have in advance, and what became of it."""

from __future__ import annotations

from typing import Annotated
from uuid import UUID

from fastapi import APIRouter, Query
from starlette.responses import Response

from loom.features.credits import queries
from loom.features.credits.schemas import (
    Credits,
    CreditsWithEntries,
    ExtendCredits,
    GiveCredits,
    MoveCredits,
)
from loom.http import Cursor, Limit, Page, Read, Write, page_of, problems
from loom.http.cursors import decode_after

router = APIRouter(prefix="/v1", tags=["credits"])

OfRelation = Annotated[UUID | None, Query(description="Only those of this client of a coach.")]
OfTemplate = Annotated[UUID | None, Query(description="Only those for sessions of this template.")]


@router.get("/credits")
async def list_credits(
    read: Read,
    coach_client_id: OfRelation = None,
    template_id: OfTemplate = None,
    limit: Limit = 50,
    cursor: Cursor = None,
) -> Page[Credits]:
    """Sessions paid in advance, newest first: a client's own, and those that a coach's practice sold."""
    found = await queries.list_credits(
        read, coach_client_id=coach_client_id, template_id=template_id, after=decode_after(cursor), limit=limit
    )
    return page_of(found, limit, "created_at", "id")


@router.post("/credits", status_code=201, response_model=CreditsWithEntries, responses=problems(404, 409))
async def give_credits(body: GiveCredits, write: Write) -> Response:
    """Give a client of yours sessions in advance, and say why."""
    return await write.made(
        lambda tx: queries.give_credits(tx, body),
        queries.get_credits,
        status=201,
        location=lambda made: f"/v1/credits/{made.id}",
    )


@router.get("/credits/{credit_id}", responses=problems(404))
async def get_credits(credit_id: UUID, read: Read) -> CreditsWithEntries:
    """What is left, and why: credits with their ledger."""
    return await queries.get_credits(read, credit_id)


@router.post("/credits/{credit_id}/move", response_model=CreditsWithEntries, responses=problems(404, 409))
async def move_credits(credit_id: UUID, body: MoveCredits, write: Write) -> Response:
    """Add to or take from credits that you sold, and say why. Never below zero."""
    return await write.changed(credit_id, lambda tx: queries.move_credits(tx, credit_id, body), queries.get_credits)


@router.post("/credits/{credit_id}/extend", response_model=CreditsWithEntries, responses=problems(404, 409))
async def extend_credits(credit_id: UUID, body: ExtendCredits, write: Write) -> Response:
    """Set until when credits that you sold are good. What ended before stays ended."""
    return await write.changed(credit_id, lambda tx: queries.extend_credits(tx, credit_id, body), queries.get_credits)


@router.post("/attendees/{attendee_id}/spend-credit", response_model=CreditsWithEntries, responses=problems(404, 409))
async def spend_credit(attendee_id: UUID, write: Write) -> Response:
    """Pay a seat in a session of yours, booked before the credits were there, with one of the client's."""
    return await write.made(lambda tx: queries.spend_credit(tx, attendee_id), queries.get_credits)
