"""Bodies as callers send them."""

from __future__ import annotations

from typing import Annotated, Self
from uuid import UUID

from pydantic import Field, StringConstraints, model_validator
from pydantic_core import PydanticCustomError

from loom.http import Input

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


class BeginUpload(Input):
    """A file that is going to be uploaded: its name, its exact size in bytes, and its type."""

    file_name: Annotated[str, StringConstraints(strip_whitespace=True, min_length=1, max_length=200)]
    file_size: Annotated[int, Field(ge=1, le=2_147_483_647)]
    file_type: Annotated[str, StringConstraints(min_length=3, max_length=200, pattern=r"^[a-z0-9.+-]+/[a-z0-9.+-]+$")]


class SendMessage(Input):
    """A message. Sending again with the same `client_message_id` gives the first message, so make one for each.

    `attachments` are ids of uploads that are `clean`; with any, `content` may be left out.
    """

    content: Content | None = None
    client_message_id: UUID | None = None
    mentions: Mentions = Field(default_factory=list[UUID])
    reply_to_id: UUID | None = None
    attachments: Annotated[list[UUID], Field(max_length=10)] = Field(default_factory=list[UUID])

    @model_validator(mode="after")
    def _says_something(self) -> Self:
        if self.content is None and not self.attachments:
            raise PydanticCustomError("missing", "A message has content, attachments, or both")
        return self


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
