"""Shapes of packages and credits: rows as the database gives them, bodies as callers send them."""

from __future__ import annotations

from datetime import datetime
from typing import Annotated, Any, Literal
from uuid import UUID

from pydantic import AwareDatetime, BaseModel, Field, StringConstraints

from loom.http import Input

SpentAt = Literal["booking", "attendance"]
GrantedAt = Literal["issue", "payment"]
EntryReason = Literal["granted", "spent", "returned", "expired", "withdrawn", "moved"]

Title = Annotated[str, StringConstraints(strip_whitespace=True, min_length=1, max_length=200, pattern=r"\S")]
Sessions = Annotated[int, Field(ge=1, le=1000)]
Price = Annotated[int, Field(strict=True, ge=0, le=2_147_483_647, description="Of the whole package, in minor units.")]
Currency = Annotated[str, Field(pattern=r"^[A-Z]{3}$", examples=["ILS"])]
ValidDays = Annotated[int | None, Field(ge=1, le=3650, description="From the day it is granted; null never ends.")]
Reason = Annotated[str, StringConstraints(strip_whitespace=True, min_length=1, max_length=500, pattern=r"\S")]


class Package(BaseModel):
    """Sessions of a template that are sold in advance."""

    id: UUID
    practice_id: UUID
    template_id: UUID
    title: str
    sessions: int
    price_cents: int
    currency: str
    valid_days: int | None
    spent_at: SpentAt
    granted_at: GrantedAt
    is_active: bool
    created_at: datetime
    updated_at: datetime


class OfferPackage(Input):
    """A new package."""

    template_id: UUID
    title: Title
    sessions: Sessions
    price_cents: Price
    currency: Currency
    valid_days: ValidDays = None
    spent_at: Annotated[
        SpentAt,
        Field(description="When a seat takes a credit: when it is booked, or when its person came."),
    ] = "booking"
    granted_at: Annotated[
        GrantedAt, Field(description="When the credits are there: when the invoice is issued, or once it is paid.")
    ] = "payment"


def _nothing() -> None:
    return None


def optional() -> Any:
    """A field that may be left out but not be null. Only fields that were sent are ever read."""
    return Field(default_factory=_nothing)


class ChangePackage(Input):
    """A partial change; what was sold keeps the terms it was sold on."""

    title: Title = optional()
    sessions: Sessions = optional()
    price_cents: Price = optional()
    currency: Currency = optional()
    valid_days: ValidDays = None
    spent_at: SpentAt = optional()
    granted_at: GrantedAt = optional()
    is_active: bool = optional()

    def changes(self) -> str:
        """The fields that were sent, as JSON for the query."""
        return self.model_dump_json(exclude_unset=True)


class CreditEntry(BaseModel):
    """One movement of the ledger, and why."""

    id: UUID
    change: int
    reason: EntryReason
    attendee_id: UUID | None
    note: str | None
    made_by: UUID | None
    created_at: datetime


class Credits(BaseModel):
    """Sessions that a client has in advance. `usable` is what is left and has not ended."""

    id: UUID
    practice_id: UUID
    coach_client_id: UUID
    client_id: UUID | None
    template_id: UUID
    package_id: UUID | None
    invoice_id: UUID | None
    title: str
    sessions: int
    balance: int
    usable: int
    spent_at: SpentAt
    granted_on: datetime | None
    expires_at: datetime | None
    created_at: datetime


class CreditsWithEntries(Credits):
    """Credits with their ledger, oldest first."""

    entries: list[CreditEntry]


class GiveCredits(Input):
    """Credits that are given, not sold."""

    coach_client_id: UUID
    template_id: UUID
    sessions: Sessions
    reason: Reason
    expires_at: AwareDatetime | None = None
    spent_at: SpentAt = "booking"


class MoveCredits(Input):
    """A change by hand."""

    change: Annotated[int, Field(ge=-1000, le=1000, description="How many sessions more, or fewer; not 0.")]
    reason: Reason


class ExtendCredits(Input):
    """Until when they are good; null never ends."""

    expires_at: AwareDatetime | None


class SellPackage(Input):
    """What is put on the draft."""

    package_id: UUID
