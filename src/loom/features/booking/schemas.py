"""Shapes of booking: terms and what is owed under them."""

from __future__ import annotations

from datetime import datetime
from typing import Annotated, Any, Literal
from uuid import UUID

from pydantic import AwareDatetime, BaseModel, Field, NaiveDatetime

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
    fee_cents: Annotated[int, Field(strict=True, ge=1, le=2_147_483_647)]


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


class CancelSeries(Close):
    """Why, and whose wish it was."""

    for_client: bool = Field(
        False, description="The coach cancels because the client asked for it: the terms count as if the client had."
    )


class PlanSeries(Input):
    """Sessions that recur on the clock of a zone."""

    template_id: UUID
    local_start: NaiveDatetime = Field(
        description="The first time, on the clock of `timezone` and without an offset.", examples=["2031-05-04T18:00"]
    )
    timezone: Zone
    rule: Annotated[
        str,
        Field(
            min_length=1,
            max_length=300,
            description="RRULE of RFC 5545, daily to yearly, with COUNT or UNTIL.",
            examples=["FREQ=WEEKLY;COUNT=12"],
        ),
    ]
    missing_times: Literal["ask", "later", "skip"] = Field(
        "ask",
        description="What becomes of a time that a clock change skips: it is in the way until you say, taken as much "
        "later as the clock is changed, or left out.",
    )


class CreateSeries(PlanSeries):
    """All of the times, or those whose places are named."""

    client_id: UUID | None = Field(None, description="Only for a coach who books: one of their clients.")
    capacity: Annotated[int, Field(ge=1, le=1000)] | None = Field(
        None, description="Of each session of a group; without it as the template has it."
    )
    only: Annotated[list[Annotated[int, Field(ge=1, le=104)]], Field(min_length=1, max_length=104)] | None = Field(
        None, description="The places (`ordinal`) of the plan to book; without it all, which must all be free."
    )


class PlannedTime(BaseModel):
    """What would become of one time. `problem` is null when it can be booked; `taken_by` is told to the coach alone.

    Problems: `time_does_not_exist`, `skipped`, `past`, `overlaps_itself`, `taken`, and the reasons of slots.
    """

    ordinal: int
    local_start: str = Field(examples=["2031-05-04T18:00"])
    starts_at: datetime
    problem: str | None
    taken_by: str | None


class SeriesSession(BaseModel):
    """A session in its place."""

    ordinal: int
    session_id: UUID
    local_start: str = Field(examples=["2031-05-04T18:00"])
    starts_at: datetime
    status: str


class Series(BaseModel):
    """Sessions that were booked together. Each is a session like any other."""

    id: UUID
    coach_id: UUID
    client_id: UUID | None = Field(description="Null for sessions of a group, whose people are those of each session.")
    template_id: UUID | None
    rule: str
    timezone: str
    created_at: datetime


class SeriesWithSessions(Series):
    """A series and its sessions in order."""

    sessions: list[SeriesSession]


class MoveSeries(Input):
    """Where the session goes; those after it move by as much of the clock."""

    starts_at: Instant
    missing_times: Literal["ask", "later"] = "ask"


class Changed(BaseModel):
    """How many sessions it was."""

    sessions: int
