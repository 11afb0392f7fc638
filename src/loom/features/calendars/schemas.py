"""Shapes of calendars."""

from __future__ import annotations

from datetime import datetime
from typing import Annotated, Literal
from uuid import UUID

from pydantic import AwareDatetime, BaseModel, Field

from loom.http.inputs import Input

Language = Literal["en", "he"]
EntryState = Literal["confirmed", "tentative", "cancelled"]


class CreateFeed(Input):
    """A new private feed of the signed-in person's sessions."""

    name: Annotated[str, Field(min_length=1, max_length=100, pattern=r"\S", examples=["Phone"])] | None = None


class Feed(BaseModel):
    """A feed that was given out. Its address can't be shown again; a lost one is revoked and replaced."""

    id: UUID
    name: str | None
    created_at: datetime
    last_read_at: datetime | None
    revoked_at: datetime | None


class NewFeed(BaseModel):
    """A feed with its address, which is shown this once."""

    id: UUID
    url: str = Field(description="Whoever has it reads the feed: paste it where a calendar subscribes by address.")
    webcal_url: str = Field(description="The same for a link: calendar applications open it and subscribe.")


class FeedToken(BaseModel):
    """What the database gives for a new feed."""

    id: UUID
    token: str


class FeedState(BaseModel):
    """What tells whether a feed has changed, and whose it is."""

    content_hash: str
    changed_at: datetime
    name: str | None
    language: Language
    timezone: str | None


class Entry(BaseModel):
    """One session in a feed, as its owner sees it."""

    uid: UUID
    starts_at: datetime
    ends_at: datetime
    changed_at: datetime
    title: str
    with_name: str | None
    is_coach: bool
    seats_taken: int | None
    capacity: int | None
    location: str | None
    meeting_url: str | None
    description: str | None
    state: EntryState


LinkAction = Literal["confirm", "decline", "move", "cancel"]


class LinkCostStep(BaseModel):
    """From when on giving the seat up costs what."""

    after: datetime
    amount_cents: int | None
    currency: str | None
    forfeits: bool


class LinkQuote(BaseModel):
    """What giving the seat up costs now and later, and whether its person may still move the session."""

    amount_cents: int | None
    currency: str | None
    forfeits: bool
    may_move: bool
    steps: list[LinkCostStep]


class Link(BaseModel):
    """What the holder of a link gets to see: what it would do, and to which session."""

    action: LinkAction
    used: bool
    open: bool = Field(description="Whether it can still be used.")
    title: str
    description: str | None
    starts_at: datetime
    ends_at: datetime
    timezone: str
    location: str | None
    session_status: Literal["scheduled", "in_progress", "completed", "cancelled", "rescheduled", "no_show"]
    status: Literal["invited", "confirmed", "declined", "checked_in"]
    is_cancelled: bool
    name: str
    coach_name: str | None
    language: Language
    quote: LinkQuote | None = Field(description="For links that move or cancel; null for guests without an account.")


class UseLink(Input):
    """What a link needs to act: a new start for one that moves, and if one likes a reason for one that cancels."""

    starts_at: Annotated[AwareDatetime, Field(description="A start that `slots` offers.")] | None = None
    reason: Annotated[str, Field(max_length=2000)] | None = None


class OfferedSlot(BaseModel):
    """Where a session could go."""

    starts_at: datetime
    ends_at: datetime


class LetterContent(BaseModel):
    """What a person's calendar is told."""

    title: str
    description: str | None
    location: str | None
    meeting_url: str | None
    starts_at: datetime
    ends_at: datetime
    timezone: str
    status: Literal["invited", "confirmed", "declined"]
    over_as: Literal["session", "taken", "given_up", "moved_away"] | None
    reason: str | None
    language: Language
    name: str
    coach_name: str
    coach_email: str | None
    is_individual: bool


class CalendarLetter(BaseModel):
    """A letter that is due, with its number and fresh links. The tokens stand in clear text here alone."""

    attendee_id: UUID
    email: str
    method: Literal["REQUEST", "CANCEL"]
    sequence: int
    prepared_at: datetime
    previous_status: str | None
    content: LetterContent
    links: dict[LinkAction, str]
