"""Shapes of the practice: rows as the database gives them, bodies as callers send them."""

from __future__ import annotations

from datetime import datetime
from typing import Annotated, Any, Literal
from uuid import UUID

from pydantic import BaseModel, EmailStr, Field, StringConstraints

from loom.http import Input

ClientStatus = Literal["invited", "active", "ended"]
ClientSource = Literal["manual", "invitation", "booking", "session"]
PrivacyLevel = Literal["private", "shared_with_client"]
Language = Literal["en", "he"]

# `\S` beside the trimming: text of blanks alone is no name, and the published schema says so too.
Name = Annotated[str, StringConstraints(strip_whitespace=True, min_length=1, max_length=200, pattern=r"\S")]
Phone = Annotated[
    str, StringConstraints(strip_whitespace=True, min_length=5, max_length=40, pattern=r"^\+?[0-9][0-9 ()./-]*[0-9]$")
]
# Mail headers of addresses beyond ASCII need servers that few people have.
Email = Annotated[EmailStr, StringConstraints(max_length=254, pattern=r"^[\x21-\x7e]+$")]
ZoneName = Annotated[str, Field(min_length=1, max_length=64, examples=["Asia/Jerusalem"])]
LongText = Annotated[str, StringConstraints(min_length=1, max_length=20_000, pattern=r"\S")]
Tag = Annotated[str, StringConstraints(strip_whitespace=True, min_length=1, max_length=50, pattern=r"\S")]
Tags = Annotated[list[Tag], Field(max_length=20)]


def _nothing() -> None:
    return None


def optional() -> Any:
    """A field of a PATCH that may be left out but not be null. Only fields that were sent are ever read."""
    return Field(default_factory=_nothing)


class Patch(Input):
    """A partial change: what is left out stays as it is."""

    def changes(self) -> str:
        """The fields that were sent, as JSON for the query."""
        return self.model_dump_json(exclude_unset=True)


class Client(BaseModel):
    """Somebody's relation to a coach.

    `client_id` is the person's account, null as long as they have none. Name, address and phone are what the coach
    wrote down, or else those of the account.
    """

    id: UUID
    coach_id: UUID
    client_id: UUID | None
    display_name: str | None
    email: str | None
    phone: str | None
    status: ClientStatus
    source: ClientSource
    invited_at: datetime | None
    accepted_at: datetime | None
    ended_at: datetime | None
    created_at: datetime
    updated_at: datetime


class AddClient(Input):
    """A client added by hand; an account is not needed."""

    display_name: Name
    email: Email | None = None
    phone: Phone | None = None


class ChangeClient(Patch):
    """What the coach keeps about a client. The address can change until the client has an account."""

    display_name: Name = optional()
    email: Email | None = None
    phone: Phone | None = None


class Coach(BaseModel):
    """A coach of yours. `id` is the relation's, `coach_id` the person's."""

    id: UUID
    coach_id: UUID
    name: str
    email: str
    avatar_url: str | None
    accepted_at: datetime | None
    created_at: datetime


class CoachInvitation(BaseModel):
    """A coach asks you to be their client. `id` is the relation's, which the answer names."""

    id: UUID
    coach_id: UUID
    coach_name: str | None
    practice_name: str | None
    invited_at: datetime


WallTime = Annotated[
    str,
    StringConstraints(pattern=r"^(([01][0-9]|2[0-3]):(00|15|30|45)|24:00)$"),
    Field(description="Wall time in steps of 15 minutes; 24:00 is the end of the day.", examples=["09:00"]),
]
DayOfWeek = Annotated[int, Field(ge=0, le=6, strict=True, description="0 is Sunday, 6 is Saturday.")]


class SetRange(Input):
    """Hours in which sessions may lie. A range that ends before it starts goes on after midnight."""

    day_of_week: DayOfWeek
    start_time: WallTime
    end_time: WallTime


class SetAvailability(Input):
    """The whole week: it replaces the one before. Its ranges must not overlap."""

    timezone: ZoneName
    ranges: Annotated[list[SetRange], Field(max_length=168)]


class Range(BaseModel):
    """Hours, wall time in `timezone`. `end_time` may be 24:00, or on the next day."""

    day_of_week: int
    start_time: str
    end_time: str
    timezone: str


class OwnRange(Range):
    """Hours of one's own week."""

    id: UUID


class OwnAvailability(BaseModel):
    """The coach's own week, by day and time."""

    ranges: list[OwnRange]


class CoachAvailability(BaseModel):
    """A coach's week as others see it: when sessions may lie, not which times are still free."""

    coach_id: UUID
    ranges: list[Range]


class Note(BaseModel):
    """What a coach wrote down about a client."""

    id: UUID
    coach_id: UUID
    client_id: UUID
    session_id: UUID | None
    title: str
    content: str
    privacy_level: PrivacyLevel
    tags: list[str]
    created_at: datetime
    updated_at: datetime


class WriteNote(Input):
    """A note about a client who has an account. Private unless said otherwise."""

    client_id: Annotated[UUID, Field(description="The client's account: `client_id` of the client.")]
    session_id: UUID | None = None
    title: Name
    content: LongText
    privacy_level: PrivacyLevel = "private"
    tags: Tags = Field(default_factory=list[str])


class ChangeNote(Patch):
    """Changes to a note. `shared_with_client` shows it to the client, `private` takes it back."""

    session_id: UUID | None = None
    title: Name = optional()
    content: LongText = optional()
    privacy_level: PrivacyLevel = optional()
    tags: Tags = optional()


Mood = Annotated[int, Field(ge=1, le=10, strict=True)]
ShortText = Annotated[str, StringConstraints(max_length=5_000)]


class Reflection(BaseModel):
    """What a client wrote after a session, or between them."""

    id: UUID
    client_id: UUID
    session_id: UUID | None
    content: str
    mood_rating: int | None
    insights: str | None
    goals_for_next_session: str | None
    created_at: datetime
    updated_at: datetime


class WriteReflection(Input):
    """A reflection of one's own. Tied to a session, that session's coach reads it."""

    session_id: UUID | None = None
    content: LongText
    mood_rating: Mood | None = None
    insights: ShortText | None = None
    goals_for_next_session: ShortText | None = None


class ChangeReflection(Patch):
    """Changes to a reflection of one's own."""

    session_id: UUID | None = None
    content: LongText = optional()
    mood_rating: Mood | None = None
    insights: ShortText | None = None
    goals_for_next_session: ShortText | None = None


TaxScheme = Literal["own_rate", "registered", "exempt"]
ChargeMoment = Literal["off", "booking", "session"]


class Practice(BaseModel):
    """The legal entity that issues documents and receives money. `tax_rate_bp` is in basis points: 1800 is 18 %.

    `tax_scheme`: own_rate puts `tax_rate_bp` on plain invoices, receipts and credit notes; registered the rate of the
    country and day, and its tax documents; exempt no tax, with receipts only. Loom is no registered bookkeeping
    software: with `documents_elsewhere` another system issues, and Loom only notes its numbers.

    `auto_charge`: whether cards of clients who consented are charged by themselves, when a seat is booked or after the
    session.
    """

    id: UUID
    name: str
    legal_name: str | None
    tax_id: str | None
    email: str | None
    phone: str | None
    address: str | None
    country: str
    timezone: str
    language: Language
    currency: str
    tax_rate_bp: int
    invoice_due_days: int
    tax_scheme: TaxScheme
    prices_include_tax: bool
    documents_elsewhere: bool
    auto_charge: ChargeMoment
    created_at: datetime
    updated_at: datetime


class ChangePractice(Patch):
    """Settings of the practice. New documents take them up; documents that were issued keep what they have."""

    name: Name = optional()
    legal_name: Name | None = None
    tax_id: Annotated[str, StringConstraints(strip_whitespace=True, max_length=40)] | None = None
    email: Email | None = None
    phone: Phone | None = None
    address: Annotated[str, StringConstraints(strip_whitespace=True, max_length=500)] | None = None
    country: Annotated[str, StringConstraints(pattern=r"^[A-Z]{2}$")] = optional()
    timezone: ZoneName = optional()
    language: Language = optional()
    currency: Annotated[str, StringConstraints(pattern=r"^[A-Z]{3}$")] = optional()
    tax_rate_bp: Annotated[int, Field(ge=0, le=10_000, strict=True)] = optional()
    invoice_due_days: Annotated[int, Field(ge=0, le=365, strict=True)] = optional()
    tax_scheme: TaxScheme = optional()
    prices_include_tax: bool = optional()
    documents_elsewhere: bool = optional()
    auto_charge: ChargeMoment = optional()
