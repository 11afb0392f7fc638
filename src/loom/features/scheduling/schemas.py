"""Shapes of scheduling. Times are aware instants, prices minor units of a currency beside them."""

from __future__ import annotations

from datetime import datetime
from typing import Annotated, Any, Literal
from uuid import UUID

from pydantic import AwareDatetime, BaseModel, Discriminator, Field, Tag

from loom.http.inputs import EmailAddress, Input

SessionType = Literal["individual", "group"]
BookingMode = Literal["instant", "request", "prepaid"]
SessionStatus = Literal["scheduled", "in_progress", "completed", "cancelled", "rescheduled", "no_show"]
BillingStatus = Literal["unbilled", "awaiting_payment", "paid", "written_off"]
AttendeeRole = Literal["client", "coach", "guest"]
AttendeeStatus = Literal["invited", "confirmed", "declined", "checked_in"]
Answer = Literal["confirmed", "declined"]
Attendance = Literal["in", "out", "no_show"]
AttendanceKind = Literal["in", "out", "no_show", "undo"]

Title = Annotated[str, Field(min_length=1, max_length=200, pattern=r"\S", examples=["Single session"])]
Text = Annotated[str, Field(max_length=5000)]
Reason = Annotated[str, Field(max_length=2000)]
PersonName = Annotated[str, Field(min_length=1, max_length=200, pattern=r"\S")]
Price = Annotated[
    int, Field(strict=True, ge=0, le=2_147_483_647, description="Minor units of the currency.", examples=[30000])
]
Currency = Annotated[str, Field(pattern=r"^[A-Z]{3}$", description="ISO 4217.", examples=["ILS"])]
Minutes = Annotated[int, Field(ge=5, le=1440, examples=[60])]
Buffer = Annotated[int, Field(ge=0, le=240)]
Grace = Annotated[
    int,
    Field(ge=0, le=10080, description="Minutes after the end at which who confirmed and did not come is a no-show."),
]
Capacity = Annotated[int, Field(ge=1, le=1000)]
Notice = Annotated[
    int, Field(ge=0, le=525_600, description="Minutes between now and the first start on offer; null is the coach's.")
]
Horizon = Annotated[
    int, Field(ge=1, le=1825, description="Days between now and the last start on offer; null is the coach's.")
]
PerDay = Annotated[int, Field(ge=1, le=100, description="Sessions of this template on one day.")]
PerWeek = Annotated[int, Field(ge=1, le=700, description="Sessions of this template in one week.")]
HoldMinutes = Annotated[int, Field(ge=1, le=1440, description="How long a hold keeps a time free.")]
Mode = Annotated[
    BookingMode,
    Field(description="How clients get a session: at once, once the coach approves a request, or once a hold is paid."),
]
ChargeMoment = Literal["off", "booking", "session"]
AutoCharge = Annotated[
    ChargeMoment,
    Field(description="When kept cards are charged by themselves, in place of the practice's own; null leaves that."),
]
Zone = Annotated[str, Field(min_length=1, max_length=64, description="An IANA time zone.", examples=["Asia/Jerusalem"])]
Link = Annotated[str, Field(max_length=2000, pattern=r"^https?://\S+$", examples=["https://meet.example.com/abc"])]
Instant = Annotated[AwareDatetime, Field(description="With its offset from UTC.", examples=["2031-05-04T09:00:00Z"])]


class DirectoryCoach(BaseModel):
    """Somebody who can be booked."""

    id: UUID
    name: str


class Template(BaseModel):
    """What a coach offers."""

    id: UUID
    coach_id: UUID
    title: str
    description: str | None
    session_type: SessionType
    default_duration_minutes: int
    default_price_cents: int | None
    currency: str
    default_capacity: int | None
    buffer_before_minutes: int
    buffer_after_minutes: int
    slot_step_minutes: int | None
    roster_visible: bool
    location: str | None
    no_show_grace_minutes: int | None
    min_notice_minutes: int | None
    horizon_days: int | None
    max_per_day: int | None
    max_per_week: int | None
    booking_mode: BookingMode
    request_blocks: bool
    hold_minutes: int
    auto_charge: ChargeMoment | None
    is_active: bool
    created_at: datetime
    updated_at: datetime


class CreateTemplate(Input):
    """A new offer of the signed-in coach."""

    title: Title
    description: Text | None = None
    session_type: SessionType = "individual"
    default_duration_minutes: Minutes
    default_price_cents: Price | None = None
    currency: Currency = "ILS"
    default_capacity: Capacity | None = None
    buffer_before_minutes: Buffer = 0
    buffer_after_minutes: Buffer = 0
    slot_step_minutes: Minutes | None = None
    roster_visible: bool = False
    location: Annotated[str, Field(max_length=500)] | None = None
    no_show_grace_minutes: Grace | None = None
    min_notice_minutes: Notice | None = None
    horizon_days: Horizon | None = None
    max_per_day: PerDay | None = None
    max_per_week: PerWeek | None = None
    booking_mode: Mode = "instant"
    request_blocks: bool = Field(False, description="Whether a request keeps its time free until it is answered.")
    hold_minutes: HoldMinutes = 15
    auto_charge: AutoCharge | None = None


class UpdateTemplate(Input):
    """What changes of an offer. A field that is left out stays; sessions that were made from it keep what they have."""

    title: Title | None = None
    description: Text | None = None
    default_duration_minutes: Minutes | None = None
    default_price_cents: Price | None = None
    currency: Currency | None = None
    default_capacity: Capacity | None = None
    buffer_before_minutes: Buffer | None = None
    buffer_after_minutes: Buffer | None = None
    slot_step_minutes: Minutes | None = None
    roster_visible: bool | None = None
    location: Annotated[str, Field(max_length=500)] | None = None
    no_show_grace_minutes: Grace | None = None
    min_notice_minutes: Notice | None = None
    horizon_days: Horizon | None = None
    max_per_day: PerDay | None = None
    max_per_week: PerWeek | None = None
    booking_mode: Mode | None = None
    request_blocks: bool | None = None
    hold_minutes: HoldMinutes | None = None
    auto_charge: AutoCharge | None = None
    is_active: bool | None = None


class Slot(BaseModel):
    """A start that can be booked now. `local_start` is the same instant on a clock in the zone asked for."""

    starts_at: datetime
    ends_at: datetime
    local_start: str = Field(examples=["2031-05-04T12:00:00+03:00"])
    reason: str | None = Field(description="Why it is not free, where such starts were asked for too; null when it is.")


class TakenBy(BaseModel):
    """What takes a coach's time."""

    kind: Literal["session", "hold", "time_off"]
    starts_at: datetime = Field(validation_alias="from")
    ends_at: datetime = Field(validation_alias="to")
    session_id: UUID | None


class SlotReason(BaseModel):
    """Why a client cannot have a time: `past`, `outside_hours`, `holiday`, `other_hours_that_day`, `not_a_start`,
    `too_soon`, `too_far_ahead`, `taken`, `day_full` or `week_full`. Null when they can."""

    starts_at: datetime
    reason: str | None
    taken_by: list[TakenBy] | None = Field(description="What takes it; told to the coach alone.")


class Session(BaseModel):
    """A session as its people see it. Prices and billing states of single seats are with the attendees."""

    id: UUID
    type: SessionType
    status: SessionStatus
    coach_id: UUID
    client_id: UUID | None
    template_id: UUID | None
    title: str
    description: str | None
    scheduled_at: datetime
    ends_at: datetime
    duration_minutes: int
    timezone: str | None
    location: str | None
    meeting_url: str | None
    notes: str | None
    price_cents: int | None
    currency: str
    billing_status: BillingStatus
    invoice_id: UUID | None
    capacity: int | None
    roster_visible: bool
    buffer_before_minutes: int
    buffer_after_minutes: int
    no_show_grace_minutes: int | None
    started_at: datetime | None
    completed_at: datetime | None
    cancelled_at: datetime | None
    cancelled_by: UUID | None
    cancellation_reason: str | None
    created_at: datetime
    updated_at: datetime


class BookIndividual(Input):
    """A session with one client: of the signed-in person with a coach, or of a coach for a client of theirs."""

    type: Literal["individual"] = "individual"
    template_id: UUID
    starts_at: Instant
    client_id: UUID | None = Field(None, description="Only for a coach who books: one of their clients.")
    timezone: Zone | None = None


class CreateGroup(Input):
    """A group session of the signed-in coach. What is left out comes from the template."""

    type: Literal["group"]
    template_id: UUID
    starts_at: Instant
    capacity: Capacity | None = None
    title: Title | None = None
    description: Text | None = None
    duration_minutes: Minutes | None = None
    timezone: Zone | None = None
    location: Annotated[str, Field(max_length=500)] | None = None
    meeting_url: Link | None = None
    price_cents: Price | None = None
    currency: Currency | None = None
    roster_visible: bool | None = None


def _kind(value: Any) -> str:
    """Which of the two a body is; a wrong `type` then fails in the model that says what is allowed."""
    kind: object = value.get("type") if isinstance(value, dict) else getattr(value, "type", None)  # pyright: ignore[reportUnknownMemberType, reportUnknownVariableType]
    return "group" if kind == "group" else "individual"


CreateSession = Annotated[
    Annotated[BookIndividual, Tag("individual")] | Annotated[CreateGroup, Tag("group")], Discriminator(_kind)
]


class UpdateSession(Input):
    """What a coach changes of what is said about a session. Time and status have routes of their own."""

    title: Title | None = None
    description: Text | None = None
    location: Annotated[str, Field(max_length=500)] | None = None
    meeting_url: Link | None = None
    notes: Text | None = Field(None, description="Read by everybody who takes part.")
    price_cents: Price | None = None
    currency: Currency | None = None
    capacity: Capacity | None = None
    timezone: Zone | None = None
    roster_visible: bool | None = None
    buffer_before_minutes: Buffer | None = None
    buffer_after_minutes: Buffer | None = None
    no_show_grace_minutes: Grace | None = None


class Reschedule(Input):
    """Another time for a session; only its coach may change the length."""

    starts_at: Instant
    duration_minutes: Minutes | None = None


class WithReason(Input):
    """Why."""

    reason: Reason | None = None


class Cancel(WithReason):
    """Why, and whose wish it was."""

    for_client: bool = Field(
        False,
        description="The coach cancels because the client asked for it, by telephone say: the terms count as if the "
        "client had done it.",
    )


class SessionEvent(BaseModel):
    """One move of a session or a seat: who made it, and for a new time where it was."""

    id: UUID
    session_id: UUID
    attendee_id: UUID | None
    kind: str
    from_status: SessionStatus | None
    to_status: SessionStatus | None
    actor_id: UUID | None
    details: dict[str, Any]
    created_at: datetime


class Attendee(BaseModel):
    """A seat, as its own person and the coach see it."""

    id: UUID
    session_id: UUID
    user_id: UUID | None
    role: AttendeeRole
    status: AttendeeStatus
    name: str | None
    email: str | None
    notes: str | None
    price_cents: int | None
    currency: str
    billing_status: BillingStatus
    coach_client_id: UUID | None
    invited_by: UUID | None
    responded_at: datetime | None
    attendance: Attendance | None = Field(description="Who came: apart from the answer, which `status` keeps.")
    checked_in_at: datetime | None
    cancelled_at: datetime | None
    cancelled_by: UUID | None
    cancellation_reason: str | None
    created_at: datetime
    updated_at: datetime


class Invite(Input):
    """Somebody to ask: a client of the coach by id, or a guest by e-mail address."""

    user_id: UUID | None = None
    email: EmailAddress | None = None
    name: PersonName | None = None
    price_cents: Price | None = Field(None, description="In the session's currency; the session's price if left out.")
    following: bool = Field(
        False, description="Also to all sessions of the series after this one: all or none. A seat that is there stays."
    )


class UpdateAttendee(Input):
    """What a coach changes of a seat."""

    display_name: PersonName | None = None
    notes: Text | None = Field(None, description="Read by the seat's own person.")
    price_cents: Price | None = None


class Respond(Input):
    """The answer to an invitation."""

    answer: Answer


class RecordAttendance(Input):
    """Somebody came (`in`), left (`out`), did not come (`no_show`), or the last of these is taken back (`undo`)."""

    kind: AttendanceKind
    nonce: Annotated[str, Field(min_length=1, max_length=200)] | None = Field(
        None, description="Chosen by the device: the same tap sent again is one record."
    )
    at: Instant | None = Field(None, description="When it happened, for a device that was offline; else now.")


class AttendanceRecord(BaseModel):
    """One line of a seat's attendance: what, when, by whom (null: derived or imported), and what it takes back."""

    id: UUID
    attendee_id: UUID
    number: int
    kind: AttendanceKind
    nonce: str
    happened_at: datetime
    actor_id: UUID | None
    undoes: UUID | None
    created_at: datetime


class RosterEntry(BaseModel):
    """Somebody who takes part, by name alone."""

    name: str
    role: AttendeeRole
    is_me: bool
