"""What is on its way to a person, and what became of it."""

from __future__ import annotations

from typing import Literal
from uuid import UUID

from pydantic import BaseModel, Field

Language = Literal["en", "he"]


class Lease(BaseModel):
    """What a worker may carry out; `attempt` must be named by its outcome."""

    id: UUID
    attempt: int


class Parcel(BaseModel):
    """One mail, or one notice for a person's devices.

    `refusal` is why not to send it, as of now; `quiet_seconds` how long the person wants quiet. `mail_key` names the
    mail: who can tell it is believed to have seen the mail, so it is kept nowhere else.
    """

    id: UUID
    attempt: int
    channel: Literal["email", "push"]
    recipient_id: UUID
    email: str
    name: str | None
    language: Language
    refusal: str | None
    quiet_seconds: float | None
    hide_content: bool
    unsubscribe_token: str
    mail_key: str


class Device(BaseModel):
    """A device with its keys."""

    id: UUID
    endpoint: str
    p256dh: str
    auth: str


class Outcome(BaseModel):
    """What became of an attempt. `pending` tries again after `delay_seconds`."""

    state: Literal["pending", "sent", "failed", "suppressed"]
    reason: str | None = None
    error_message: str | None = None
    provider_id: str | None = None
    delay_seconds: float = 0
    gone_devices: list[UUID] = Field(default_factory=list[UUID])
    reached_devices: list[UUID] = Field(default_factory=list[UUID])

    def without(self, mail_key: str) -> Outcome:
        """The same for a row that senders read: some servers repeat the Message-ID when they answer."""
        said = {name: getattr(self, name) for name in ("error_message", "provider_id")}
        return self.model_copy(update={name: text and text.replace(mail_key, "…") for name, text in said.items()})

    @property
    def columns(self) -> dict[str, object]:
        """What a delivery's row says of it."""
        return self.model_dump(include={"state", "reason", "error_message", "provider_id", "delay_seconds"})
