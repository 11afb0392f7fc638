"""Shapes of documents: rows as the database gives them, bodies as callers send them."""

from __future__ import annotations

from datetime import datetime
from typing import Annotated, Literal
from uuid import UUID

from pydantic import Base64Bytes, BaseModel, Field

from loom.http import EmailAddress, Input

Language = Literal["en", "he"]
Kind = Literal["invoice", "tax_invoice", "receipt", "tax_invoice_receipt", "credit_note"]


class DocumentLine(BaseModel):
    """One line as it is printed. Amounts are in minor units."""

    description: str
    quantity: int
    amount_cents: int
    discount_cents: int
    total_cents: int


class MoneyIn(BaseModel):
    """The payment that a receipt is for."""

    at: datetime | None
    method: Literal["credit_card", "bank_transfer", "cash", "voucher", "other"] | None
    reference: str | None


class Document(BaseModel):
    """What a document says, as it was issued. `layout` names how it is set."""

    id: UUID
    practice_id: UUID
    layout: int
    language: Language
    timezone: str
    country: str | None
    tax_scheme: Literal["own_rate", "registered", "exempt"]
    kind: Kind
    number: str | None
    currency: str
    issued_at: datetime | None
    drafted_at: datetime
    due_date: datetime | None
    voided_at: datetime | None
    seller_name: str
    tax_id: str | None
    address: str | None
    phone: str | None
    email: str | None
    footer: str | None
    transfer_details: str | None
    buyer_name: str | None
    buyer_email: str | None
    buyer_tax_id: str | None
    buyer_address: str | None
    notes: str | None
    allocation_number: str | None
    tax_inclusive: bool
    tax_on_payment: bool
    credit_of: str | None
    paid: MoneyIn | None
    discount_cents: int
    subtotal_cents: int
    tax_rate_bp: int
    tax_cents: int
    total_cents: int
    # Of a receipt: parts that its tax is not of.
    taxed_elsewhere_cents: int
    untaxed_cents: int
    lines: list[DocumentLine]

    @property
    def file_name(self) -> str:
        """What the PDF is called."""
        return f"{self.number or 'draft'}.pdf"


class Printable(BaseModel):
    """A document and its logo."""

    content: Document
    logo: bytes | None


class DocumentState(BaseModel):
    """How a document stands today."""

    display_status: str
    balance_cents: int
    amount_paid_cents: int
    amount_refunded_cents: int
    paid_at: datetime | None
    receipts_due: bool
    """Something was paid for which nobody has asked for a receipt yet."""
    takes_cards: bool
    payment_under_way: bool


class Receipt(BaseModel):
    """A receipt of what was paid on a document."""

    id: UUID
    kind: Kind
    number: str | None
    total_cents: int
    currency: str
    issued_at: datetime


class OpenPayment(BaseModel):
    """An intent that is not over."""

    id: UUID


class LinkedDocument(Printable):
    """What a link shows."""

    state: DocumentState


class SharedDocument(BaseModel):
    """What whoever holds a link sees: the document, and what is still open."""

    document: Document
    state: DocumentState


class Letter(Printable):
    """A document to mail, and a new link to it."""

    email: str
    recipient_name: str | None
    language: Language
    token: str


class Letterhead(BaseModel):
    """What the documents of a practice carry besides its legal particulars."""

    practice_id: UUID
    footer: str | None
    transfer_details: str | None
    send_on_issue: bool
    has_logo: bool


class SetLetterhead(Input):
    """The whole letterhead but the logo."""

    footer: Annotated[str | None, Field(max_length=300)] = None
    transfer_details: Annotated[
        str | None, Field(max_length=1000, examples=["Bank Leumi 10, branch 800, account 123456"])
    ] = None
    send_on_issue: Annotated[bool, Field(description="Mail each document to its buyer as it is issued.")] = False


class SetLogo(Input):
    """A picture: PNG or JPEG, at most 256 KiB and 4000 pixels a side."""

    content: Annotated[Base64Bytes, Field(description="The file, in base64.")]


class SendDocument(Input):
    """Where to send it."""

    email: Annotated[EmailAddress | None, Field(description="The buyer's address unless another is given.")] = None


class DocumentSend(BaseModel):
    """A mail that carries a document."""

    id: UUID
    invoice_id: UUID
    email: str
    created_at: datetime
    sent_at: datetime | None
    failed_at: datetime | None
    failure: str | None


class MakeLink(Input):
    """How long the link is good for."""

    days: Annotated[int, Field(ge=1, le=365)] = 90


class DocumentLink(BaseModel):
    """A link that shows a document to whoever has it. It is told this once."""

    url: str


class RevokedLinks(BaseModel):
    """How many links were good until now."""

    revoked: int
