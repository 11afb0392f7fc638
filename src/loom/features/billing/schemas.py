"""Shapes of billing. Amounts are integers in minor units (`*_cents`) of the `currency` beside them."""

from __future__ import annotations

from datetime import datetime
from typing import Annotated, Any, Literal
from uuid import UUID

from pydantic import AwareDatetime, BaseModel, Field, StringConstraints

from loom.features.billing.card_tokens import Token
from loom.http import Input

InvoiceStatus = Literal["pending", "paid", "canceled", "refunded"]
PaymentStatus = Literal["pending", "paid", "failed", "canceled", "refunded"]
IntentStatus = Literal["requires_payment_method", "requires_confirmation", "processing", "succeeded", "canceled"]
RefundStatus = Literal["pending", "processing", "succeeded", "failed"]
MethodType = Literal["credit_card", "bank_transfer", "cash", "voucher", "other"]
DisplayStatus = Literal[
    "draft", "open", "partially_paid", "overdue", "paid", "refunded", "credited", "void", "written_off", "issued"
]
DraftKind = Literal["invoice", "tax_invoice"]
DocumentKind = Literal["invoice", "tax_invoice", "receipt", "tax_invoice_receipt", "credit_note"]
Provider = Literal["sandbox", "stripe", "tranzila"]

# Strict: true is no amount of 1, and "100" is a mistake of whoever sends it.
Cents = Annotated[int, Field(strict=True, ge=0, le=2_147_483_647, examples=[25000])]
PositiveCents = Annotated[int, Field(strict=True, ge=1, le=99_999_999, examples=[25000])]
Currency = Annotated[str, Field(pattern=r"^[A-Z]{3}$", examples=["ILS"])]
Text = Annotated[str, StringConstraints(strip_whitespace=True, min_length=1, max_length=500, pattern=r"\S")]
Notes = Annotated[str, StringConstraints(min_length=1, max_length=4000)]
BasisPoints = Annotated[int, Field(strict=True, ge=0, le=10_000, description="1800 is 18 %.")]


def _nothing() -> None:
    return None


class Created(BaseModel):
    """The id of what was made, for steps that go on elsewhere."""

    id: UUID


class InvoiceLine(BaseModel):
    """A line. `amount_cents` is the price of one; the total is that times `quantity`, less the discount."""

    id: UUID
    session_id: UUID | None
    attendee_id: UUID | None
    outcome_id: UUID | None
    settled_invoice_id: UUID | None
    description: str
    quantity: int
    amount_cents: int
    discount_cents: int
    line_total_cents: int
    currency: str


class Invoice(BaseModel):
    """An invoice as lists show it. A draft has no number and no `finalized_at`.

    `discount_cents` is off all lines together, beside what each line has of its own.
    """

    id: UUID
    practice_id: UUID
    coach_id: UUID | None
    client_id: UUID | None
    coach_client_id: UUID | None
    status: InvoiceStatus
    display_status: DisplayStatus
    document_kind: DocumentKind
    document_number: str | None
    currency: str
    discount_cents: int
    subtotal_cents: int
    tax_rate_bp: int
    tax_inclusive: bool
    tax_cents: int
    total_amount_cents: int
    amount_paid_cents: int
    amount_refunded_cents: int
    credited_cents: int
    balance_cents: int
    buyer_name: str | None
    buyer_email: str | None
    buyer_tax_id: str | None
    buyer_address: str | None
    seller_name: str | None
    allocation_number: str | None
    issued_elsewhere: bool
    credit_of_invoice_id: UUID | None
    payment_id: UUID | None
    notes: str | None
    issued_at: datetime | None
    due_date: datetime | None
    finalized_at: datetime | None
    paid_at: datetime | None
    voided_at: datetime | None
    written_off_at: datetime | None
    created_at: datetime
    updated_at: datetime


class InvoiceReason(BaseModel):
    """Why a document was voided or written off, and who said so."""

    kind: Literal["voided", "written_off"]
    reason: str
    made_by: UUID | None
    created_at: datetime


class InvoiceWithLines(Invoice):
    """A document with what it is for. `warnings` are codes of what the people of the practice should look at.

    `reasons` say why it was voided or written off, the first one first; they too are for the people of the practice.
    """

    lines: list[InvoiceLine]
    warnings: list[str]
    reasons: list[InvoiceReason]


class NewLine(Input):
    """A seat (`attendee_id`, or `session_id` for the client's seat there), a fee (`outcome_id`) or an add-on.

    Of a seat or a fee, description and price are known unless given here.
    """

    attendee_id: UUID | None = None
    session_id: UUID | None = None
    outcome_id: UUID | None = None
    description: Text | None = None
    quantity: Annotated[int, Field(strict=True, ge=1, le=10_000)] = 1
    amount_cents: Cents | None = None
    discount_cents: Cents = 0


class DraftInvoice(Input):
    """A draft for one client of the caller's: `client_id` is an account, `coach_client_id` also one without."""

    client_id: UUID | None = None
    coach_client_id: UUID | None = None
    lines: Annotated[list[NewLine], Field(max_length=200, default_factory=list)]
    due_date: AwareDatetime | None = None
    currency: Currency | None = None
    tax_rate_bp: BasisPoints | None = None
    tax_inclusive: bool | None = None
    document_kind: DraftKind | None = None
    notes: Notes | None = None
    discount_cents: Cents = 0


class ChangeInvoice(Input):
    """Changes of a draft. What is left out stays."""

    due_date: AwareDatetime | None = None
    notes: Notes | None = None
    buyer_name: Text | None = None
    buyer_email: Text | None = None
    buyer_tax_id: Annotated[str, StringConstraints(strip_whitespace=True, min_length=1, max_length=60)] | None = None
    buyer_address: Text | None = None
    document_kind: DraftKind = Field(default_factory=_nothing)  # pyright: ignore[reportAssignmentType]
    tax_inclusive: bool = Field(default_factory=_nothing)  # pyright: ignore[reportAssignmentType]
    tax_rate_bp: BasisPoints = Field(default_factory=_nothing)  # pyright: ignore[reportAssignmentType]
    discount_cents: Cents = Field(default_factory=_nothing)  # pyright: ignore[reportAssignmentType]


class VoidInvoice(Input):
    """Why, if there is something to say."""

    reason: Text | None = None


class WriteOffInvoice(Input):
    """Why the money is given up."""

    reason: Text


class FinalizeInvoice(Input):
    """The number that another system gave, where the practice's documents are made elsewhere."""

    document_number: Annotated[str, StringConstraints(strip_whitespace=True, min_length=1, max_length=60)] | None = None


class CreditInvoice(Input):
    """How much is taken back, all that is left unless said; and why, as it stands on the credit note."""

    amount_cents: PositiveCents | None = None
    reason: Text


class NoteNumbers(Input):
    """Numbers that others gave to an issued document. Each is noted once."""

    document_number: Annotated[str, StringConstraints(strip_whitespace=True, min_length=1, max_length=60)] | None = None
    allocation_number: Annotated[str, Field(pattern=r"^[0-9]{9}$")] | None = None


class Intent(BaseModel):
    """The plan to collect the balance of an invoice, or the price of a time that is held.

    An intent for a hold names the invoice of the seat once it is paid, and no invoice where the time was lost.
    `next_action` says what the payer has to do, `outcome_unknown_since` that the gateway's answer was lost and is
    being looked up.
    """

    id: UUID
    invoice_id: UUID | None
    booking_request_id: UUID | None
    user_id: UUID | None
    practice_id: UUID | None
    amount_cents: int
    currency: str
    status: IntentStatus
    provider: str | None
    payment_method_id: UUID | None
    channel: Literal["direct", "hosted"]
    amount_capturable_cents: int
    next_action: dict[str, Any] | None
    last_error_code: str | None
    last_error_message: str | None
    outcome_unknown_since: datetime | None
    succeeded_at: datetime | None
    canceled_at: datetime | None
    created_at: datetime
    updated_at: datetime


class IntentWithSecret(Intent):
    """`client_secret` is told to the payer only; null until the gateway has answered, and once the intent is over."""

    client_secret: str | None


class OpenPaymentPage(Input):
    """Where the payer comes back to: addresses of this server or of a front end that it is configured for."""

    success_url: Annotated[str, Field(max_length=2000, pattern=r"^https?://", examples=["http://127.0.0.1:8000/paid"])]
    cancel_url: Annotated[str, Field(max_length=2000, pattern=r"^https?://", examples=["http://127.0.0.1:8000/back"])]
    locale: Literal["en", "he"] = "en"


class PaymentPage(BaseModel):
    """The gateway's own page. Coming back from it proves nothing: ask how the intent stands."""

    intent_id: UUID
    url: str
    expires_at: datetime | None


class BeginIntent(Input):
    """`manual` only holds the money; it is then taken or let go."""

    capture: Literal["automatic", "manual"] = "automatic"


class CaptureIntent(Input):
    """How much of what is held; all of it where nothing is said."""

    amount_cents: PositiveCents | None = None


class ConfirmIntent(Input):
    """A card token of the gateway's own page, or a saved way to pay."""

    card_token: Token | None = None
    payment_method_id: UUID | None = None


class Payment(BaseModel):
    """A movement of money in, or an attempt at one. `refundable_cents` is what can still go back."""

    id: UUID
    user_id: UUID | None
    practice_id: UUID | None
    coach_client_id: UUID | None
    invoice_id: UUID | None
    session_id: UUID | None
    intent_id: UUID | None
    method_id: UUID | None
    amount_cents: int
    currency: str
    status: PaymentStatus
    method_type: MethodType | None
    provider: str
    reference: str | None
    description: str | None
    allocated_cents: int
    refunded_cents: int
    refundable_cents: int
    paid_at: datetime | None
    failure_code: str | None
    failure_message: str | None
    created_at: datetime
    updated_at: datetime


class RecordPayment(Input):
    """Money that came outside the gateway. All but cash need a `reference`.

    More than the invoice's balance is refused, unless `keep_rest`: the rest is then the client's credit.
    """

    invoice_id: UUID
    amount_cents: PositiveCents
    method: Literal["bank_transfer", "cash", "voucher", "other"]
    reference: Annotated[str, StringConstraints(strip_whitespace=True, min_length=1, max_length=200)] | None = None
    received_at: AwareDatetime | None = None
    keep_rest: bool = False


class InvoicePart(Input):
    """How much of a payment goes to an invoice, or comes back from it."""

    invoice_id: UUID
    amount_cents: PositiveCents | None = None


class RecordOnAccount(Input):
    """Money of a client that is for several invoices, or for none yet. What no invoice gets is the client's credit."""

    coach_client_id: UUID
    amount_cents: PositiveCents
    currency: Currency
    method: Literal["bank_transfer", "cash", "voucher", "other"]
    reference: Annotated[str, StringConstraints(strip_whitespace=True, min_length=1, max_length=200)] | None = None
    received_at: AwareDatetime | None = None
    description: Text | None = None
    allocations: Annotated[list[InvoicePart], Field(max_length=100, default_factory=list)]


class UndoPayment(Input):
    """Why a payment that was recorded by hand is undone."""

    reason: Text


class Allocation(BaseModel):
    """What an invoice has of a payment now, and what of it went back."""

    id: UUID
    payment_id: UUID
    invoice_id: UUID
    document_number: str | None
    amount_cents: int
    refunded_cents: int
    currency: str
    created_at: datetime
    updated_at: datetime


class Refund(BaseModel):
    """Money that goes back. It may fail after it succeeded."""

    id: UUID
    payment_id: UUID
    amount_cents: int
    currency: str
    status: RefundStatus
    reason: str | None
    failure_reason: str | None
    outcome_unknown_since: datetime | None
    processed_at: datetime | None
    created_at: datetime
    updated_at: datetime


class SessionRefunds(BaseModel):
    """The refunds that a cancelled session caused; those that were made before are not among them."""

    refunds: list[UUID]


class RequestRefund(Input):
    """Without an amount, all that is left goes back."""

    amount_cents: PositiveCents | None = None
    reason: Text | None = None


class Received(BaseModel):
    """The event is kept; it is handled after this answer."""

    received: bool
