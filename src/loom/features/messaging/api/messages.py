"""Messages: one by one, with reactions, receipts and deliveries."""

from __future__ import annotations

from typing import Annotated
from uuid import UUID

from fastapi import APIRouter, Path, Query
from starlette.responses import Response

from loom.features.messaging import queries, service
from loom.features.messaging.schemas import Deliveries, EditMessage, Message, React, Reaction, Receipt, Revision
from loom.http import Page, Read, Write, problems

router = APIRouter(prefix="/messages", tags=["messages"])

Reason = Annotated[
    str | None, Query(min_length=1, max_length=1000, pattern=r"^[^\x00]*$", description="Why, for the audit.")
]
EmojiInPath = Annotated[str, Path(min_length=1, max_length=32, pattern=r"^[^\s\x00-\x1f\x7f/]+$")]


@router.get("/{message_id}", responses=problems(404))
async def get_message(message_id: UUID, read: Read) -> Message:
    """One message."""
    return await queries.get_message(read, message_id)


@router.patch("/{message_id}", response_model=Message, responses=problems(404, 409))
async def edit_message(message_id: UUID, body: EditMessage, write: Write) -> Response:
    """Change the text of your own message; it is marked as edited. With `mentions`, whom it mentions changes too."""
    return await write.run(lambda tx: service.edit(tx, message_id, body))


@router.delete("/{message_id}", response_model=Message, responses=problems(404))
async def delete_message(message_id: UUID, write: Write, reason: Reason = None) -> Response:
    """Remove a message of your own; as the coach of a group, any in it. Its place stays, with nothing in it."""
    return await write.run(lambda tx: service.delete(tx, message_id, reason))


@router.get("/{message_id}/revisions", responses=problems(404))
async def list_revisions(message_id: UUID, read: Read) -> Page[Revision]:
    """What it said before each edit, oldest first."""
    return Page(items=await queries.list_revisions(read, message_id), next_cursor=None)


@router.get("/{message_id}/reactions", responses=problems(404))
async def list_reactions(message_id: UUID, read: Read) -> Page[Reaction]:
    """Who reacted how."""
    return Page(items=await queries.list_reactions(read, message_id), next_cursor=None)


@router.post("/{message_id}/reactions", status_code=201, response_model=Message, responses=problems(404))
async def react(message_id: UUID, body: React, write: Write) -> Response:
    """React with an emoji; doing so again changes nothing."""
    return await write.run(lambda tx: service.react(tx, message_id, body.emoji), status=201)


@router.delete("/{message_id}/reactions/{emoji}", status_code=204, responses=problems(404))
async def take_back_reaction(message_id: UUID, emoji: EmojiInPath, write: Write) -> Response:
    """Take your reaction back."""
    return await write.run(lambda tx: queries.take_back_reaction(tx, message_id, emoji))


@router.get("/{message_id}/receipts", responses=problems(404))
async def list_receipts(message_id: UUID, read: Read) -> Page[Receipt]:
    """Who has read it, and when."""
    return Page(items=await queries.list_receipts(read, message_id), next_cursor=None)


@router.get("/{message_id}/deliveries", responses=problems(404))
async def list_deliveries(message_id: UUID, read: Read) -> Deliveries:
    """Whether it reached each person in the app, by e-mail and by push, and if not, why.

    The sender and the coach of the conversation see all of it, a recipient what concerns them.
    """
    return await service.deliveries(read, message_id)
