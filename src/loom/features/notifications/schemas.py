"""Shapes of notifications and of the choices about them."""

from __future__ import annotations

from datetime import datetime
from typing import Annotated, Any, Literal
from uuid import UUID

from pydantic import BaseModel, Field, StringConstraints

from loom.http import Input, Page

NotificationType = Literal[
    "session_reminder",
    "session_confirmation",
    "new_message",
    "system_update",
    "welcome_message",
    "goal_achieved",
    "appointment_reminder",
    "coach_message",
    "client_message",
    "session_cancelled",
    "session_rescheduled",
    "reflection_reminder",
    "system_announcement",
    "payment_reminder",
]
Priority = Literal["low", "normal", "high", "urgent"]
Digest = Literal["immediate", "hourly", "daily", "weekly", "never"]

ClockTime = Annotated[str, StringConstraints(pattern=r"^([01][0-9]|2[0-3]):[0-5][0-9]$"), Field(examples=["22:00"])]
ZoneName = Annotated[str, Field(min_length=1, max_length=64, examples=["Asia/Jerusalem"])]


class Notification(BaseModel):
    """Something that a person is told. `data` is what a program needs to act on it; `action_url` where it leads."""

    id: UUID
    type: NotificationType
    title: str
    message: str
    data: Any
    priority: Priority
    action_url: str | None
    action_label: str | None
    read_at: datetime | None
    expires_at: datetime | None
    created_at: datetime


class NotificationPage(Page[Notification]):
    """A page of notifications, with how many are unread in all."""

    unread_count: int


class AllRead(BaseModel):
    """How many notifications were unread until now."""

    marked: int


class Preferences(BaseModel):
    """Where a person wants to hear of what.

    A switch of a kind counts on a channel that is enabled as a whole. With `hide_content` mail and devices say only
    that there is something. In quiet hours (wall time in `timezone`, past midnight if the end is before the start)
    nothing is pushed or mailed.
    """

    email_enabled: bool
    email_session_reminders: bool
    email_session_updates: bool
    email_messages: bool
    email_system_updates: bool
    email_marketing: bool
    inapp_enabled: bool
    inapp_session_reminders: bool
    inapp_session_updates: bool
    inapp_messages: bool
    inapp_system_updates: bool
    inapp_payments: bool
    email_payments: bool
    push_enabled: bool
    push_session_reminders: bool
    push_session_updates: bool
    push_messages: bool
    push_payments: bool
    push_system_updates: bool
    hide_content: bool
    quiet_hours_enabled: bool
    quiet_hours_start: str | None
    quiet_hours_end: str | None
    timezone: str
    digest_frequency: Digest
    updated_at: datetime


def _nothing() -> None:
    return None


def optional() -> Any:
    """A field of a PATCH that may be left out but not be null. Only fields that were sent are ever read."""
    return Field(default_factory=_nothing)


Switch = Annotated[bool, Field(strict=True)]


class ChangePreferences(Input):
    """A partial change: what is left out stays as it is."""

    email_enabled: Switch = optional()
    email_session_reminders: Switch = optional()
    email_session_updates: Switch = optional()
    email_messages: Switch = optional()
    email_system_updates: Switch = optional()
    email_marketing: Switch = optional()
    inapp_enabled: Switch = optional()
    inapp_session_reminders: Switch = optional()
    inapp_session_updates: Switch = optional()
    inapp_messages: Switch = optional()
    inapp_system_updates: Switch = optional()
    inapp_payments: Switch = optional()
    email_payments: Switch = optional()
    push_enabled: Switch = optional()
    push_session_reminders: Switch = optional()
    push_session_updates: Switch = optional()
    push_messages: Switch = optional()
    push_payments: Switch = optional()
    push_system_updates: Switch = optional()
    hide_content: Switch = optional()
    quiet_hours_enabled: Switch = optional()
    quiet_hours_start: ClockTime = optional()
    quiet_hours_end: ClockTime = optional()
    timezone: ZoneName = optional()
    digest_frequency: Digest = optional()

    def changes(self) -> str:
        """The fields that were sent, as JSON for the query."""
        return self.model_dump_json(exclude_unset=True)

    @property
    def choices(self) -> bool:
        """Whether something was sent that the newer table holds."""
        return bool(self.model_fields_set & Choices.model_fields.keys())


class Choices(BaseModel):
    """The choices that the older table has no column for."""

    push_session_updates: bool = False
    push_system_updates: bool = False
    email_payments: bool = True
    inapp_payments: bool = True
    push_payments: bool = False
    hide_content: bool = False


class OlderPreferences(BaseModel):
    """The columns of the older table."""

    email_enabled: bool
    email_session_reminders: bool
    email_session_updates: bool
    email_messages: bool
    email_system_updates: bool
    email_marketing: bool
    inapp_enabled: bool
    inapp_session_reminders: bool
    inapp_session_updates: bool
    inapp_messages: bool
    inapp_system_updates: bool
    push_enabled: bool
    push_session_reminders: bool
    push_messages: bool
    quiet_hours_enabled: bool
    quiet_hours_start: str | None
    quiet_hours_end: str | None
    timezone: str
    digest_frequency: Digest
    updated_at: datetime


class Unsubscribed(BaseModel):
    """What is not mailed any more."""

    topic: str
