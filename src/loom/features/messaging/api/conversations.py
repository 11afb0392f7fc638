"""Conversations: starting, listing, people and reading."""

from __future__ import annotations

import json
from typing import Annotated, Literal
from uuid import UUID

from fastapi import APIRouter, Query
from starlette.responses import Response

from loom.delivery import CHANNEL
from loom.features.messaging import queries, service
from loom.features.messaging.schemas import (
    AddPeople,
    ChangeConversation,
    Conversation,
    ConversationList,
    CreateGroupConversation,
    Inbox,
    MarkRead,
    MembershipChange,
    Message,
    OpenSession,
    Person,
    ReadPosition,
    SendMessage,
    StartDirect,
    Timeline,
)
from loom.http import AppServices, Cursor, Limit, Page, Read, SignedIn, Write, page_of, problems
from loom.http.cursors import decode_after

router = APIRouter(prefix="/conversations", tags=["conversations"])

Archived = Annotated[bool, Query(description="Those that you archived instead of the others.")]
# Numbers, not opaque cursors: a client that knows what it has asks for what is before or after it.
Before = Annotated[int | None, Query(ge=1, le=9_223_372_036_854_775_806, description="Messages with a smaller `seq`.")]
After = Annotated[
    int | None, Query(ge=0, le=9_223_372_036_854_775_806, description="Messages with a greater `seq`, oldest first.")
]

Around = Annotated[
    int | None,
    Query(ge=1, le=9_223_372_036_854_775_806, description="A page with this `seq` in its middle, newest first."),
]
FirstUnread = Annotated[bool, Query(description="A page around the first message that you have not read.")]
Format = Annotated[
    Literal["text", "html"], Query(description="With `html`, each message also has its text rendered as safe HTML.")
]


def _location(conversation: Conversation) -> str:
    return f"/v1/conversations/{conversation.id}"


@router.get("", response_model=Inbox)
async def list_conversations(
    actor: SignedIn, app: AppServices, archived: Archived = False, limit: Limit = 50, cursor: Cursor = None
) -> Response:
    """Your conversations, the liveliest first, each with its newest message and the count of unread ones."""
    found = await app.database.fetch_json(actor, "public.inbox_json", [cursor, limit, archived])
    return Response(found, media_type="application/json")


@router.post("/direct", status_code=201, response_model=Conversation, responses=problems(404))
async def start_direct_conversation(body: StartDirect, write: Write) -> Response:
    """The conversation with a client or coach of yours. There is one per pair, whoever starts it and how often."""
    return await write.run(lambda tx: service.start_direct(tx, body.user_id), status=201, location=_location)


@router.post("/group", status_code=201, response_model=Conversation, responses=problems(404))
async def create_group_conversation(body: CreateGroupConversation, write: Write) -> Response:
    """As a coach, a group of clients, of a program if you name one. They see one another's names."""
    return await write.run(lambda tx: service.create_group(tx, body), status=201, location=_location)


@router.post("/session", status_code=201, response_model=ConversationList, responses=problems(404, 409))
async def open_session_conversation(body: OpenSession, write: Write) -> Response:
    """As a coach, the conversations of a session of yours with everybody who accepted.

    One group where attendees may see one another, otherwise one conversation with each. From then on they follow the
    attendees: who accepts comes in, who gives the seat up leaves the group.
    """
    return await write.run(lambda tx: service.open_session(tx, body.session_id), status=201)


@router.get("/{conversation_id}", responses=problems(404))
async def get_conversation(conversation_id: UUID, read: Read) -> Conversation:
    """One conversation."""
    return await queries.get_conversation(read, conversation_id)


@router.patch("/{conversation_id}", response_model=Conversation, responses=problems(404))
async def change_conversation(conversation_id: UUID, body: ChangeConversation, write: Write) -> Response:
    """Mute or archive it for yourself; as its coach, give it a title."""
    return await write.run(lambda tx: service.change_conversation(tx, conversation_id, body))


@router.get("/{conversation_id}/people", responses=problems(404))
async def list_people(conversation_id: UUID, read: Read) -> Page[Person]:
    """Who is or was there, by name."""
    return await service.list_people(read, conversation_id)


@router.get("/{conversation_id}/membership-changes", responses=problems(404))
async def list_membership_changes(
    conversation_id: UUID, read: Read, limit: Limit = 50, cursor: Cursor = None
) -> Page[MembershipChange]:
    """As its coach, who came, left and was removed, and by whom; newest first. Empty for the others in it."""
    await queries.get_conversation(read, conversation_id)
    rows = await queries.list_membership_changes(read, conversation_id, decode_after(cursor), limit)
    return page_of(rows, limit, "created_at", "id")


@router.post("/{conversation_id}/people", response_model=Page[Person], responses=problems(404, 409))
async def add_people(conversation_id: UUID, body: AddPeople, write: Write) -> Response:
    """As its coach, bring clients into a group."""
    return await write.run(lambda tx: service.add_people(tx, conversation_id, body))


@router.delete("/{conversation_id}/people/{user_id}", status_code=204, responses=problems(404, 409))
async def remove_person(conversation_id: UUID, user_id: UUID, write: Write) -> Response:
    """As its coach, take somebody out of a group."""
    return await write.run(lambda tx: queries.remove_person(tx, conversation_id, user_id))


@router.post("/{conversation_id}/leave", status_code=204, responses=problems(404, 409))
async def leave_conversation(conversation_id: UUID, write: Write) -> Response:
    """Leave a group. You read nothing of it any more, not even what you wrote."""
    return await write.run(lambda tx: queries.leave(tx, conversation_id))


@router.get("/{conversation_id}/messages", response_model=Timeline, responses=problems(404))
async def list_messages(
    conversation_id: UUID,
    *,
    actor: SignedIn,
    app: AppServices,
    before: Before = None,
    after: After = None,
    around: Around = None,
    first_unread: FirstUnread = False,
    limit: Limit = 50,
    format: Format = "text",  # noqa: A002 - what the parameter is called
) -> Response:
    """A page of messages: the newest, those before one, those after one, or those around one.

    Of several, `after` counts before `first_unread`, that before `around`, and that before `before`.
    """
    found = await app.database.fetch_json(
        actor,
        "public.conversation_timeline_json",
        [conversation_id, before, limit, after, 0 if first_unread else around],
    )
    return Response(service.with_html(found) if format == "html" else found, media_type="application/json")


@router.post("/{conversation_id}/messages", status_code=201, response_model=Message, responses=problems(404, 409))
async def send_message(conversation_id: UUID, body: SendMessage, write: Write) -> Response:
    """Send a message. Its deliveries are planned with it and carried out in the background."""
    response = await write.run_json(
        "public.send_message_json",
        [conversation_id, body.content, body.client_message_id, body.mentions, body.reply_to_id, body.attachments],
        status=201,
        location=lambda message: f"/v1/messages/{json.loads(message)['id']}",
    )
    write.database.doorbell.ring(CHANNEL)
    return response


@router.post("/{conversation_id}/read", response_model=ReadPosition, responses=problems(404))
async def mark_read(conversation_id: UUID, body: MarkRead, write: Write) -> Response:
    """You have read up to a message. Others see that, and what was to tell you of it stays unsent."""
    return await write.run(lambda tx: queries.mark_read(tx, conversation_id, body.seq))
