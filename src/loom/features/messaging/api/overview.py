"""What goes across conversations: what is unread, one's choices, a session's conversations, and an admin's audit."""

from __future__ import annotations

from datetime import timedelta
from typing import Annotated
from uuid import UUID

from fastapi import APIRouter, Query
from pydantic import AwareDatetime
from starlette.responses import Response

from loom.core import clock
from loom.features.messaging import queries, service
from loom.features.messaging.schemas import (
    ChangeMessagingPreferences,
    ConversationList,
    Deletion,
    DeliveryStatistics,
    FoundMessages,
    MessagingPreferences,
    Suppression,
    Unread,
)
from loom.http import AppServices, Cursor, Limit, Page, Read, SignedIn, Write, page_of, problems
from loom.http.cursors import decode_after

router = APIRouter()

Words = Annotated[str, Query(min_length=1, max_length=200, pattern=r"^[^\x00]*$", description="What to look for.")]

Since = Annotated[AwareDatetime | None, Query(description="Deliveries planned at or after this instant.")]
Until = Annotated[AwareDatetime | None, Query(description="Deliveries planned before this instant.")]
OfConversation = Annotated[UUID | None, Query(description="Only those of this conversation.")]


@router.get("/unread", response_model=Unread, tags=["conversations"])
async def get_unread(actor: SignedIn, app: AppServices) -> Response:
    """How much you have not read, in all and per conversation."""
    return Response(await app.database.fetch_json(actor, "public.unread_json", []), media_type="application/json")


@router.get("/messaging-preferences", tags=["conversations"])
async def get_messaging_preferences(read: Read) -> MessagingPreferences:
    """Your choices in conversations."""
    return await queries.get_messaging_preferences(read)


@router.patch("/messaging-preferences", response_model=MessagingPreferences, tags=["conversations"])
async def change_messaging_preferences(body: ChangeMessagingPreferences, write: Write) -> Response:
    """With `share_receipts` off nobody sees how far you have read, and you see it of nobody."""
    return await write.run(lambda tx: service.change_preferences(tx, body))


@router.get("/sessions/{session_id}/conversations", tags=["conversations"])
async def list_session_conversations(session_id: UUID, read: Read) -> ConversationList:
    """The conversations about a session that you take part in; none where there are none."""
    return await service.list_session(read, session_id)


@router.get("/search/messages", response_model=FoundMessages, tags=["messages"], responses=problems(404))
async def search_messages(
    actor: SignedIn,
    app: AppServices,
    *,
    q: Words,
    conversation_id: OfConversation = None,
    limit: Annotated[int, Query(ge=1, le=50, description="How many items at most.")] = 20,
    cursor: Cursor = None,
) -> Response:
    """Messages that you may read and that hold all the words, newest first; the last may be the beginning of one.

    Hebrew is found with and without niqqud, behind "and", "the" and the like, and in singular and plural; English in
    its inflections. Where nothing is found, words that are spelt nearly so are looked for.
    """
    found = await app.database.fetch_json(actor, "public.search_messages_json", [q, conversation_id, cursor, limit])
    return Response(found, media_type="application/json")


@router.get("/delivery-statistics", tags=["messages"])
async def get_delivery_statistics(read: Read, since: Since = None, until: Until = None) -> DeliveryStatistics:
    """How messages reached people: counts, reasons and rates per channel, of the last seven days unless you say.

    Over all conversations for an admin; over those that you lead or wrote in otherwise.
    """
    end = until or clock.now()
    return await service.delivery_statistics(read, since or end - timedelta(days=7), end)


@router.get("/suppressed-addresses", tags=["messages"])
async def list_suppressed_addresses(read: Read, limit: Limit = 50, cursor: Cursor = None) -> Page[Suppression]:
    """Addresses that mail does not reach: your own; as an admin, all."""
    rows = await queries.list_suppressions(read, decode_after(cursor), limit)
    return page_of(rows, limit, "created_at", "id")


@router.post("/suppressed-addresses/{suppression_id}/lift", status_code=204, tags=["messages"], responses=problems(404))
async def lift_suppression(suppression_id: UUID, write: Write) -> Response:
    """Let mail be tried again: for your own address, or as an admin."""
    return await write.run(lambda tx: queries.lift_suppression(tx, suppression_id))


@router.get("/message-deletions", tags=["messages"])
async def list_message_deletions(
    read: Read, conversation_id: OfConversation = None, limit: Limit = 50, cursor: Cursor = None
) -> Page[Deletion]:
    """As an admin, what was deleted: by whom, when, why, and what it said. Empty for everybody else."""
    rows = await queries.list_deletions(read, conversation_id, decode_after(cursor), limit)
    return page_of(rows, limit, "created_at", "id")
