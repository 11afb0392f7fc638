"""Messages as the database gives them."""

from __future__ import annotations

from datetime import datetime
from typing import Any, Literal
from uuid import UUID

from pydantic import BaseModel, ConfigDict

from loom.features.messaging.schemas.words import AttachmentKind, Channel, MessageType, RollUp, UploadState


class MessageFile(BaseModel):
    """A file that came with a message."""

    id: UUID
    file_name: str
    file_size: int
    file_type: str
    kind: AttachmentKind


class UploadTarget(BaseModel):
    """Where the bytes of an upload go, in one request with these headers and nothing but the file as its body."""

    method: Literal["PUT"]
    url: str
    headers: dict[str, str]
    expires_at: datetime


class Upload(BaseModel):
    """A file of yours on its way into a message.

    `waiting` for its bytes, `checking`, then `clean` (it may be sent) or `refused` for a reason. `scanned` is false
    where no scanner is set up: the content was checked, but not for malware.
    """

    # It is always there, also where a row of the database does not have it.
    model_config = ConfigDict(json_schema_serialization_defaults_required=True)

    id: UUID
    conversation_id: UUID
    file_name: str
    file_type: str
    file_size: int
    state: UploadState
    refusal: str | None
    scanned: bool
    expires_at: datetime
    target: UploadTarget | None = None


class FileLink(BaseModel):
    """An address that gives the file to you for some minutes; null where it does not end."""

    url: str
    expires_at: datetime | None


class ReactionCount(BaseModel):
    """How many reacted with an emoji, and whether you did."""

    emoji: str
    count: int
    mine: bool


class Message(BaseModel):
    """A message. A deleted one keeps its place and has no content. `deliveries` is there for your own messages.

    What happened to a session or to money is a message of type `system`: `content` says it in your language, `system`
    holds its kind and data. `html` is there when asked for.
    """

    id: UUID
    conversation_id: UUID
    seq: int
    type: MessageType
    sender_id: UUID
    sender_name: str | None
    content: str | None
    html: str | None
    system: dict[str, Any] | None
    reply_to_id: UUID | None
    client_message_id: UUID | None
    is_edited: bool
    edited_at: datetime | None
    deleted_at: datetime | None
    created_at: datetime
    is_read: bool
    mentions: list[UUID]
    reactions: list[ReactionCount]
    attachments: list[MessageFile]
    deliveries: dict[Channel, RollUp] | None


class SnippetPiece(BaseModel):
    """A piece of a text; `hit` where it is what was looked for."""

    text: str
    hit: bool


class FoundMessage(BaseModel):
    """A message that search found, with the part of its text around the first hit."""

    message_id: UUID
    conversation_id: UUID
    seq: int
    sender_id: UUID
    sender_name: str | None
    created_at: datetime
    snippet: list[SnippetPiece]


class FoundMessages(BaseModel):
    """What was found, newest first. `fuzzy`: nothing had the words as they were written, these have similar ones."""

    items: list[FoundMessage]
    fuzzy: bool
    next_cursor: str | None


class ReadBy(BaseModel):
    """How far somebody else has read."""

    user_id: UUID
    last_read_seq: int


class Timeline(BaseModel):
    """A page of a conversation, newest first; with `after`, oldest first. Pass `next_cursor` on as you came.

    A page around a message also has `newer_cursor`: pass it as `after`, and `next_cursor` as `before`.
    """

    items: list[Message]
    next_cursor: str | None
    newer_cursor: str | None
    last_seq: int
    last_read_seq: int | None
    first_unread_seq: int | None
    read_by: list[ReadBy]


class Reaction(BaseModel):
    """One person's emoji."""

    user_id: UUID
    display_name: str | None
    emoji: str
    created_at: datetime


class Revision(BaseModel):
    """What a message said before an edit."""

    revision: int
    content: str
    written_at: datetime
    replaced_at: datetime


class RemovedText(BaseModel):
    """What a deleted message said before an edit."""

    content: str
    written_at: datetime


class RemovedFile(BaseModel):
    """A file that went with its message."""

    file_name: str
    file_size: int
    file_type: str


class Deletion(BaseModel):
    """The audit of a deleted message: who, when, why, and what it was."""

    id: UUID
    message_id: UUID
    conversation_id: UUID
    message_seq: int
    sender_id: UUID
    kind: Literal["tombstone", "purge"]
    deleted_by: UUID | None
    reason: str | None
    content: str | None
    content_sha256: str | None
    revisions: list[RemovedText]
    attachments: list[RemovedFile]
    message_created_at: datetime
    created_at: datetime


class Receipt(BaseModel):
    """When somebody read a message."""

    user_id: UUID
    display_name: str | None
    read_at: datetime | None
