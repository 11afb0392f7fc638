"""Shapes of live updates."""

from __future__ import annotations

from datetime import datetime
from uuid import UUID

from pydantic import BaseModel

from loom.http import Input


class Ticket(BaseModel):
    """Opens `GET /v1/live?ticket=…` for a while, for browsers' EventSource, which cannot send a header."""

    ticket: str
    expires_at: datetime


class SetTyping(Input):
    """True while writing, at most every few seconds; it ends by itself after ten."""

    typing: bool


class Typist(BaseModel):
    """Somebody who is writing."""

    user_id: UUID
    display_name: str | None
    expires_at: datetime


class Said(BaseModel):
    """A row of a person's own log: an event, or `ready`, `more`, `reset`."""

    cursor: str
    kind: str
    data: str | None


class Opened(BaseModel):
    """What a process has to know to follow the log."""

    epoch: str
    key: bytes
    xid: int
    id: int


class LogRow(BaseModel):
    """An event, and for whom (ids of 16 bytes). The last row has no kind and says how far it went."""

    xid: int
    id: int
    cursor: str
    kind: str | None
    data: str | None
    readers: bytes | None
    conversation_id: UUID | None
    waiting: bool | None


class TypingFor(BaseModel):
    """That somebody is writing, and who may know."""

    conversation_id: UUID
    user_id: UUID
    readers: bytes


class Person(BaseModel):
    """A name in a conversation."""

    user_id: UUID
    display_name: str | None
