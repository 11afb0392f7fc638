"""Shapes of the books. Amounts are integers in minor units (`*_cents`) of the `currency` beside them."""

from __future__ import annotations

from datetime import date, datetime
from typing import Annotated, Any, Literal
from uuid import UUID

from pydantic import BaseModel, Field, StringConstraints

from loom.http import Input

DocumentKind = Literal["invoice", "tax_invoice", "receipt", "tax_invoice_receipt", "credit_note"]
Table = Literal["journal", "invoices", "payments"]


class UnbilledItem(BaseModel):
    """A seat that was held, or the fee of one that was not, which no invoice has. No amount: no price was decided."""

    kind: Literal["seat", "fee"]
    attendee_id: UUID
    outcome_id: UUID | None
    coach_client_id: UUID | None
    amount_cents: int | None
    currency: str
    arose_at: datetime
    description: str


class BillMonth(Input):
    """`month` is any day of it. Drafts, unless `finalize`. All clients, unless some are named."""

    month: date
    finalize: bool = False
    coach_client_ids: Annotated[list[UUID], Field(min_length=1, max_length=1000)] | None = None


class BilledClient(BaseModel):
    """What came of one client and currency: an invoice, or the code of what was in its way."""

    coach_client_id: UUID | None
    currency: str
    items: int
    invoice_id: UUID | None
    document_number: str | None
    total_cents: int | None
    error_code: str | None


class WriteOffSeat(Input):
    """Why the seat is given up on."""

    reason: Annotated[str, StringConstraints(strip_whitespace=True, min_length=1, max_length=500)]


class SeatWriteOff(BaseModel):
    """A seat that was given up on before any invoice had it. Once `undone_at` is set it can be billed again."""

    id: UUID
    attendee_id: UUID
    practice_id: UUID
    coach_client_id: UUID | None
    amount_cents: int | None
    currency: str
    reason: str
    written_off_by: UUID | None
    undone_at: datetime | None
    undone_by: UUID | None
    created_at: datetime


class BilledMonth(BaseModel):
    """What came of each client."""

    clients: list[BilledClient]


class ClientBalance(BaseModel):
    """How a client stands in one currency: `balance_cents` is what is open less the money on account."""

    practice_id: UUID
    coach_client_id: UUID | None
    currency: str
    billed_cents: int
    open_cents: int
    overdue_cents: int
    overdue_since: datetime | None
    credit_cents: int
    written_off_cents: int
    balance_cents: int


class JournalEntry(BaseModel):
    """One movement. `entries` maps accounts to amounts, debits above zero; together they are zero."""

    id: UUID
    practice_id: UUID
    currency: str
    kind: str
    subject: str
    subject_id: UUID
    coach_client_id: UUID | None
    memo: str | None
    occurred_at: datetime
    created_at: datetime
    entries: dict[str, int]


class Difference(BaseModel):
    """Where the books do not agree."""

    check_name: str
    subject: str
    subject_id: str
    expected: str | None
    found: str | None


class PracticeDifference(Difference):
    """Where the books of a practice do not agree, for who looks after all of them."""

    practice_id: UUID
    practice_name: str


CHECKS = {
    "total_of_lines": "A final document asks for the sum of its lines, less its discount, and their tax.",
    "paid_by_allocations": "What is paid and refunded on a document is what its allocations say.",
    "credited_by_notes": "What is taken back of a document is the sum of its credit notes.",
    "numbers_without_holes": "A series has a document for each number that it gave.",
    "state_of_seat": "A billed seat stands as its invoice does.",
    "seat_written_off": "A seat that was given up on unbilled says so.",
    "counters_of_payment": "What is allocated and refunded of a payment is what its allocations and refunds say.",
    "journal_balanced": "The sides of each movement are zero together.",
    "document_in_journal": "The journal says of a document what the document says.",
    "payment_in_journal": "The journal says of a payment what the payment, its refunds and its allocations say.",
    "receivable_of_client": "What a client's open invoices ask for is what the journal says the client owes.",
    "deferred_tax_of_client": "What a client's documents say of tax that is not due yet is what the journal says.",
    "balance_of_credits": "What is left of credits is the sum of their ledger.",
    "credit_in_journal": "The journal says of sold credits what is not used of them yet.",
    "seat_paid_by_credit": "A seat that a credit was spent on is paid.",
}
"""What each check compares, in a sentence."""


class BooksCheck(BaseModel):
    """`agrees` when nothing was found."""

    agrees: bool
    differences: list[Difference]


class NumberSeries(BaseModel):
    """Where the numbers of a kind of document stand this year."""

    document_kind: str
    year: int
    first_number: int
    last_number: int


class ContinueSeries(Input):
    """The last number that another system gave; Loom goes on from there."""

    document_kind: DocumentKind
    last_number: Annotated[int, Field(ge=0, le=999_999_999)]
    year: Annotated[int, Field(ge=2000, le=2200)] | None = None


class NextNumber(BaseModel):
    """The number that the next document of the kind gets."""

    next_number: int


class TaxRule(BaseModel):
    """What the law of a country says from a day on, as somebody looked it up. Facts, not advice."""

    country: str
    rule: str
    valid_from: date
    value: int
    source: str


class ExportRow(BaseModel):
    """A row of a file: its columns by name, in order."""

    cells: dict[str, Any]
