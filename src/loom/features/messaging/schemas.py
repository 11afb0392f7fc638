"""Shapes of conversations: what the database gives, and bodies as callers send them."""

from __future__ import annotations

from datetime import datetime
from typing import Annotated, Any, Literal
from uuid import UUID

from pydantic import BaseModel, Field, StringConstraints

from loom.http import Input

ConversationType = Literal["direct", "group"]
ContextType = Literal["general", "session", "program"]
AttachmentKind = Literal["image", "document", "video", "audio", "other"]
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
    """A group and its people besides you. `program` names the program that it belongs to, if it does."""

    title: Title
    program: Title | None = None
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


class SetTyping(Input):
    """True while writing, at most every few seconds; it ends by itself after ten."""

    typing: bool


class ChangeMessagingPreferences(Input):
    """What is left out stays."""

    share_receipts: bool | None = None


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


class MessageFile(BaseModel):
    """A file that came with a message."""

    id: UUID
    file_name: str
    file_size: int
    file_type: str
    kind: AttachmentKind


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
    html: str | None = None
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


class ReadPosition(BaseModel):
    """How far you have read; it only ever grows."""

    conversation_id: UUID
    last_read_seq: int


class Typist(BaseModel):
    """Somebody who is writing."""

    user_id: UUID
    display_name: str | None
    expires_at: datetime


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
