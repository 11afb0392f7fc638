"""Shapes of conversations: what the database gives, and bodies as callers send them."""

from __future__ import annotations

from datetime import datetime
from typing import Annotated, Literal
from uuid import UUID

from pydantic import BaseModel, Field, StringConstraints

from loom.http import Input

ConversationType = Literal["direct", "group"]
ContextType = Literal["general", "session", "program"]
MessageType = Literal["text", "file", "system"]
Channel = Literal["in_app", "email", "push"]
RollUp = Literal["pending", "sent", "failed"]
DeliveryState = Literal["pending", "leased", "sent", "failed", "suppressed"]
Language = Literal["en", "he"]

# `\S` beside the trimming: text of blanks alone says nothing, and the published schema says so too.
Title = Annotated[str, StringConstraints(strip_whitespace=True, min_length=1, max_length=200, pattern=r"\S")]
Content = Annotated[str, StringConstraints(min_length=1, max_length=10_000, pattern=r"\S")]
Emoji = Annotated[str, StringConstraints(min_length=1, max_length=32, pattern=r"^[^\s\x00-\x1f\x7f/]+$")]
Mentions = Annotated[list[UUID], Field(max_length=50)]
# PostgreSQL's bigint, so that a larger number is told as what it is.
Seq = Annotated[int, Field(ge=0, le=9_223_372_036_854_775_806)]


class StartDirect(Input):
    """Whom to write to."""

    user_id: UUID


class CreateGroupConversation(Input):
    """A group and its people besides you."""

    title: Title
    user_ids: Annotated[list[UUID], Field(min_length=1, max_length=200)]


class OpenSession(Input):
    """Whose people to talk with."""

    session_id: UUID


class ChangeConversation(Input):
    """What is left out stays. The title is the coach's to give; muting and archiving are for oneself."""

    title: Title | None = None
    is_muted: bool | None = None
    is_archived: bool | None = None


class AddPeople(Input):
    """Who joins, and whether they may read what was said before."""

    user_ids: Annotated[list[UUID], Field(min_length=1, max_length=200)]
    share_history: bool = False


class SendMessage(Input):
    """A message. Sending again with the same `client_message_id` gives the first message, so make one for each."""

    content: Content
    client_message_id: UUID | None = None
    mentions: Mentions = Field(default_factory=list[UUID])
    reply_to_id: UUID | None = None


class EditMessage(Input):
    """The new text, and whom it mentions where that changes."""

    content: Content
    mentions: Mentions | None = None


class React(Input):
    """An emoji."""

    emoji: Emoji


class MarkRead(Input):
    """The `seq` of the newest message that was read."""

    seq: Seq


class PushKeys(Input):
    """A device's keys as browsers give them: base64url."""

    p256dh: Annotated[str, StringConstraints(pattern=r"^[A-Za-z0-9_-]{80,90}=?$")]
    auth: Annotated[str, StringConstraints(pattern=r"^[A-Za-z0-9_-]{20,24}(==)?$")]


class AddPushSubscription(Input):
    """A device, as `PushSubscription.toJSON()` of a browser describes it."""

    endpoint: Annotated[str, StringConstraints(min_length=1, max_length=2000)]
    keys: PushKeys
    label: Annotated[str, StringConstraints(strip_whitespace=True, min_length=1, max_length=100)] | None = None
    expirationTime: float | None = None  # noqa: N815 - the browser's own spelling


class Conversation(BaseModel):
    """A conversation as its reader has it. `role`, muting and reading are null for an admin who takes no part."""

    id: UUID
    type: ConversationType
    title: str | None
    created_by: UUID
    context_type: ContextType
    session_id: UUID | None
    role: str | None
    is_muted: bool | None
    is_archived: bool | None
    last_seq: int
    last_read_seq: int | None
    unread: int | None
    last_message_at: datetime | None
    created_at: datetime


class ConversationList(BaseModel):
    """Conversations of one session."""

    items: list[Conversation]
    next_cursor: None


class Person(BaseModel):
    """Somebody in a conversation, by name only. Who has left is still listed, so that old messages have a name."""

    user_id: UUID
    display_name: str | None
    role: str
    is_current: bool
    joined_at: datetime | None
    last_read_seq: int


class InboxPerson(BaseModel):
    """One of the others in a conversation."""

    user_id: UUID
    display_name: str | None


class InboxContext(BaseModel):
    """What a conversation is about."""

    type: ContextType
    session_id: UUID | None


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


class ReactionCount(BaseModel):
    """How many reacted with an emoji, and whether you did."""

    emoji: str
    count: int
    mine: bool


class Message(BaseModel):
    """A message. A deleted one keeps its place and has no content. `deliveries` is there for your own messages."""

    id: UUID
    conversation_id: UUID
    seq: int
    type: MessageType
    sender_id: UUID
    sender_name: str | None
    content: str | None
    reply_to_id: UUID | None
    client_message_id: UUID | None
    is_edited: bool
    edited_at: datetime | None
    deleted_at: datetime | None
    created_at: datetime
    is_read: bool
    mentions: list[UUID]
    reactions: list[ReactionCount]
    deliveries: dict[Channel, RollUp] | None


class ReadBy(BaseModel):
    """How far somebody else has read."""

    user_id: UUID
    last_read_seq: int


class Timeline(BaseModel):
    """A page of a conversation, newest first; with `after`, oldest first. Pass `next_cursor` on as you came."""

    items: list[Message]
    next_cursor: str | None
    last_seq: int
    last_read_seq: int | None
    read_by: list[ReadBy]


class ReadPosition(BaseModel):
    """How far you have read; it only ever grows."""

    conversation_id: UUID
    last_read_seq: int


class Reaction(BaseModel):
    """One person's emoji."""

    user_id: UUID
    display_name: str | None
    emoji: str
    created_at: datetime


class Receipt(BaseModel):
    """When somebody read a message."""

    user_id: UUID
    display_name: str | None
    read_at: datetime | None


class ChannelState(BaseModel):
    """How a message fared on a channel, over all its recipients."""

    channel: Channel
    status: RollUp
    sent_at: datetime | None
    error_message: str | None


class Delivery(BaseModel):
    """How a message fared with one person on one channel; `reason` says why it failed or was not tried."""

    id: UUID
    recipient_id: UUID
    recipient_name: str | None
    channel: Channel
    state: DeliveryState
    reason: str | None
    attempts: int
    next_attempt_at: datetime | None
    sent_at: datetime | None
    error_message: str | None
    created_at: datetime


class Deliveries(BaseModel):
    """Per channel, and per person and channel: as much of it as you may see."""

    channels: list[ChannelState]
    items: list[Delivery]
    next_cursor: None


class PushSubscription(BaseModel):
    """One of your devices. A retired one gets nothing any more."""

    id: UUID
    endpoint: str
    label: str | None
    last_sent_at: datetime | None
    retired_at: datetime | None
    retired_reason: str | None
    created_at: datetime


class PushKey(BaseModel):
    """The `applicationServerKey` that browsers subscribe with: base64url."""

    public_key: str
