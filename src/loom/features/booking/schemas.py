"""Shapes of booking: terms and what is owed under them."""

from __future__ import annotations

from datetime import datetime
from typing import Annotated, Any, Literal
from uuid import UUID

from pydantic import AwareDatetime, BaseModel, Field

from loom.http.inputs import Input

Currency = Annotated[str, Field(pattern=r"^[A-Z]{3}$", description="ISO 4217.", examples=["ILS"])]
LateMoves = Literal["refuse", "charge"]
OutcomeKind = Literal["cancelled", "moved", "no_show"]
RequestKind = Literal["hold", "request"]
RequestStatus = Literal["pending", "booked", "declined", "withdrawn", "lost"]
Zone = Annotated[str, Field(min_length=1, max_length=64, description="An IANA time zone.", examples=["Asia/Jerusalem"])]
Instant = Annotated[AwareDatetime, Field(description="With its offset from UTC.", examples=["2031-05-04T09:00:00Z"])]
Reason = Annotated[str, Field(max_length=2000)]


Hours = Annotated[
    int,
    Field(
        ge=0,
        le=8760,
        description="It holds with less than so many hours of elapsed time to the start; 0 is for missing the session.",
        examples=[24],
    ),
]


class PercentTier(Input):
    """A part of the price."""

    hours: Hours
    percent: Annotated[int, Field(ge=1, le=100)]


class FeeTier(Input):
    """An amount, at most the price."""

    hours: Hours
    fee_cents: Annotated[int, Field(ge=1, le=2_147_483_647)]


class ForfeitTier(Input):
    """The whole price, or the credit."""

    hours: Hours
    forfeit: Literal[True]


Tier = PercentTier | FeeTier | ForfeitTier


class SetPolicy(Input):
    """The whole policy: it replaces the one before. What is booked already keeps its terms."""

    tiers: Annotated[list[Tier], Field(max_length=10)]
    currency: Currency | None = Field(None, description="Of the fees; not needed where there are none.")
    free_moves: Annotated[int, Field(ge=0, le=100)] | None = Field(
        None, description="How often a client may move one session; without it as often as they like."
    )
    late_moves: LateMoves = Field(
        "refuse", description="Whether a move as late as a tier is refused, or costs what the tier says."
    )

    def tiers_json(self) -> str:
        """The tiers as the database keeps them."""
        return "[" + ",".join(tier.model_dump_json() for tier in self.tiers) + "]"


class Terms(BaseModel):
    """What cancelling, moving late and not coming cost. Tiers from the earliest on; none means that it is free."""

    tiers: list[dict[str, Any]]
    currency: str | None
    free_moves: int | None
    late_moves: LateMoves


class QuoteStep(BaseModel):
    """From this instant on it costs that much. `amount_cents` is null where the seat has no price yet."""

    after: datetime
    amount_cents: int | None
    currency: str
    forfeits: bool


class Quote(BaseModel):
    """What giving up a seat costs at this moment, and when that changes."""

    attendee_id: UUID
    starts_at: datetime
    as_of: datetime
    price_cents: int | None
    amount_cents: int | None
    currency: str
    forfeits: bool
    steps: list[QuoteStep]
    moves_made: int
    free_moves: int | None
    may_move: bool


class Outcome(BaseModel):
    """What is owed for a seat that was given up, moved late or missed. `owed_cents` counts what was waived."""

    id: UUID
    session_id: UUID
    attendee_id: UUID
    kind: OutcomeKind
    by_coach: bool
    notice_minutes: int | None
    tier: dict[str, Any] | None
    amount_cents: int | None
    owed_cents: int | None
    currency: str
    forfeits: bool
    waived_at: datetime | None
    waive_reason: str | None
    undone_at: datetime | None
    created_at: datetime


class Waive(Input):
    """Why somebody is let off."""

    reason: Reason | None = None


class Hold(Input):
    """A time on offer that is to be kept free for you."""

    template_id: UUID
    starts_at: Instant
    timezone: Zone | None = None


class Ask(Hold):
    """A time on offer that you ask the coach for."""

    message: Reason | None = None


class BookingRequest(BaseModel):
    """A time that is held or asked for, at the price and terms of the moment.

    Pending and past `expires_at` is expired. Once booked, `session_id` is the session. `lost` was paid for too late.
    """

    id: UUID
    kind: RequestKind
    status: RequestStatus
    coach_id: UUID
    client_id: UUID
    template_id: UUID
    starts_at: datetime
    duration_minutes: int
    timezone: str | None
    message: str | None
    price_cents: int | None
    currency: str
    terms: dict[str, Any] | None
    expires_at: datetime
    answered_at: datetime | None
    reason: str | None
    session_id: UUID | None
    created_at: datetime


class Close(Input):
    """Why not."""

    reason: Reason | None = None
