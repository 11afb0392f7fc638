"""Conversations as the database gives them."""

from __future__ import annotations

from datetime import datetime
from typing import Literal
from uuid import UUID

from pydantic import BaseModel

from loom.features.messaging.schemas.words import ContextType, ConversationType


class Conversation(BaseModel):
    """A conversation as its reader has it. `role`, muting and reading are null for an admin who takes no part."""

    id: UUID
    type: ConversationType
    title: str | None
    created_by: UUID
    context_type: ContextType
    session_id: UUID | None
    program: str | None
    role: str | None
    is_muted: bool | None
    is_archived: bool | None
    last_seq: int
    last_read_seq: int | None
    unread: int | None
    last_message_at: datetime | None
    created_at: datetime


class ConversationList(BaseModel):
    """Conversations of one session, as far as you take part in them."""

    items: list[Conversation]
    next_cursor: None


class Person(BaseModel):
    """Somebody in a conversation, by name only. Who has left is still listed, so that old messages have a name.

    `last_read_seq` is null where one of you does not share receipts.
    """

    user_id: UUID
    display_name: str | None
    role: str
    is_current: bool
    joined_at: datetime | None
    last_read_seq: int | None


class MembershipChange(BaseModel):
    """Somebody came, left or was removed; `changed_by` is null where nobody in particular did it."""

    id: UUID
    user_id: UUID
    display_name: str | None
    change: Literal["joined", "left", "removed"]
    changed_by: UUID | None
    at_seq: int
    created_at: datetime


class MessagingPreferences(BaseModel):
    """Your choices in conversations."""

    share_receipts: bool


class InboxPerson(BaseModel):
    """One of the others in a conversation."""

    user_id: UUID
    display_name: str | None


class InboxContext(BaseModel):
    """What a conversation is about."""

    type: ContextType
    session_id: UUID | None
    program: str | None


class LastMessage(BaseModel):
    """The beginning of the newest message; without preview where it was deleted."""

    seq: int
    sender_id: UUID
    preview: str | None
    deleted_at: datetime | None
    created_at: datetime


class InboxItem(BaseModel):
    """A conversation in the inbox, with at most five of the others in it."""

    id: UUID
    type: ConversationType
    title: str | None
    role: str
    is_muted: bool
    is_archived: bool
    context: InboxContext
    people: list[InboxPerson]
    last_seq: int
    last_read_seq: int
    unread: int
    last_message_at: datetime
    last_message: LastMessage | None


class Inbox(BaseModel):
    """A page of your conversations, the liveliest first."""

    items: list[InboxItem]
    next_cursor: str | None


class UnreadConversation(BaseModel):
    """What you have not read in a conversation."""

    conversation_id: UUID
    unread: int
    is_muted: bool


class Unread(BaseModel):
    """How much you have not read: in all, apart from what you muted, and per conversation that has any."""

    unread: int
    unread_muted: int
    conversations: int
    items: list[UnreadConversation]


class ReadPosition(BaseModel):
    """How far you have read; it only ever grows."""

    conversation_id: UUID
    last_read_seq: int
