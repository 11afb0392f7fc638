"""Routes of invoices: drafts, documents, and how they end."""

from __future__ import annotations

from typing import Annotated
from uuid import UUID

from fastapi import APIRouter, Query
from starlette.responses import Response

from loom.features.billing import queries
from loom.features.billing.schemas import (
    ChangeInvoice,
    CreditInvoice,
    DocumentKind,
    DraftInvoice,
    FinalizeInvoice,
    Invoice,
    InvoiceStatus,
    InvoiceWithLines,
    NewLine,
    NoteNumbers,
    VoidInvoice,
    WriteOffInvoice,
)
from loom.http import Cursor, Limit, Page, Read, Write, page_of, problems
from loom.http.cursors import decode_after

router = APIRouter(prefix="/v1/invoices", tags=["invoices"])

Status = Annotated[InvoiceStatus | None, Query(description="Only those in this state.")]
Draft = Annotated[bool | None, Query(description="Only drafts, or only issued ones.")]
OfKind = Annotated[DocumentKind | None, Query(description="Only documents of this kind.")]
OfPayment = Annotated[UUID | None, Query(description="Only the receipt of this payment.")]
OfClient = Annotated[UUID | None, Query(description="Only those of this account.")]
OfRelation = Annotated[UUID | None, Query(description="Only those of this client of a coach.")]


@router.post("", status_code=201, response_model=InvoiceWithLines, responses=problems(404, 409))
async def draft_invoice(body: DraftInvoice, write: Write) -> Response:
    """Draft an invoice for a client of yours: seats at sessions, and add-ons. Nobody else sees it yet."""
    return await write.made(
        lambda tx: queries.draft_invoice(tx, body),
        queries.get_invoice,
        status=201,
        location=lambda made: f"/v1/invoices/{made.id}",
    )


@router.get("")
async def list_invoices(
    *,
    read: Read,
    status: Status = None,
    draft: Draft = None,
    document_kind: OfKind = None,
    payment_id: OfPayment = None,
    client_id: OfClient = None,
    coach_client_id: OfRelation = None,
    limit: Limit = 50,
    cursor: Cursor = None,
) -> Page[Invoice]:
    """Invoices, newest first: to a client those issued to them, to a coach those of the practice, drafts included."""
    found = await queries.list_invoices(
        read,
        status=status,
        draft=draft,
        document_kind=document_kind,
        payment_id=payment_id,
        client_id=client_id,
        coach_client_id=coach_client_id,
        after=decode_after(cursor),
        limit=limit,
    )
    return page_of(found, limit, "created_at", "id")


@router.get("/{invoice_id}", responses=problems(404))
async def get_invoice(invoice_id: UUID, read: Read) -> InvoiceWithLines:
    """One invoice with its lines."""
    return await queries.get_invoice(read, invoice_id)


@router.patch("/{invoice_id}", response_model=InvoiceWithLines, responses=problems(404, 409))
async def change_invoice(invoice_id: UUID, body: ChangeInvoice, write: Write) -> Response:
    """Change a draft."""
    return await write.changed(invoice_id, lambda tx: queries.edit_draft(tx, invoice_id, body), queries.get_invoice)


@router.delete("/{invoice_id}", status_code=204, responses=problems(404, 409))
async def delete_invoice(invoice_id: UUID, write: Write) -> Response:
    """Throw a draft away. Its seats can be billed again; it never had a number."""
    return await write.run(lambda tx: queries.delete_draft(tx, invoice_id))


@router.post("/{invoice_id}/lines", status_code=201, response_model=InvoiceWithLines, responses=problems(404, 409))
async def add_invoice_line(invoice_id: UUID, body: NewLine, write: Write) -> Response:
    """Add a line to a draft."""
    return await write.changed(
        invoice_id, lambda tx: queries.add_line(tx, invoice_id, body), queries.get_invoice, status=201
    )


@router.delete("/{invoice_id}/lines/{line_id}", response_model=InvoiceWithLines, responses=problems(404, 409))
async def remove_invoice_line(invoice_id: UUID, line_id: UUID, write: Write) -> Response:
    """Take a line off a draft."""
    return await write.changed(invoice_id, lambda tx: queries.remove_line(tx, invoice_id, line_id), queries.get_invoice)


@router.post("/{invoice_id}/finalize", response_model=InvoiceWithLines, responses=problems(404, 409))
async def finalize_invoice(invoice_id: UUID, write: Write, body: FinalizeInvoice | None = None) -> Response:
    """Issue a draft: it gets its number, never changes again, and its client sees it.

    Where the practice's documents are made elsewhere, it gets the number that you give, or none yet.
    """
    return await write.changed(
        invoice_id,
        lambda tx: queries.finalize_invoice(tx, invoice_id, body.document_number if body else None),
        queries.get_invoice,
    )


@router.post("/{invoice_id}/void", response_model=InvoiceWithLines, responses=problems(404, 409))
async def void_invoice(invoice_id: UUID, body: VoidInvoice, write: Write) -> Response:
    """Void an unpaid invoice. It keeps its number; its seats can be billed again."""
    return await write.changed(
        invoice_id, lambda tx: queries.void_invoice(tx, invoice_id, body.reason), queries.get_invoice
    )


@router.post("/{invoice_id}/write-off", response_model=InvoiceWithLines, responses=problems(404, 409))
async def write_off_invoice(invoice_id: UUID, body: WriteOffInvoice, write: Write) -> Response:
    """Give up on an open invoice. Money that comes later is still taken."""
    return await write.changed(
        invoice_id, lambda tx: queries.write_off_invoice(tx, invoice_id, body.reason), queries.get_invoice
    )


@router.post("/{invoice_id}/restore", response_model=InvoiceWithLines, responses=problems(404, 409))
async def restore_invoice(invoice_id: UUID, write: Write) -> Response:
    """Take a write-off back: the invoice is open again."""
    return await write.changed(invoice_id, lambda tx: queries.restore_invoice(tx, invoice_id), queries.get_invoice)


@router.post(
    "/{invoice_id}/credit-notes", status_code=201, response_model=InvoiceWithLines, responses=problems(404, 409)
)
async def credit_invoice(invoice_id: UUID, body: CreditInvoice, write: Write) -> Response:
    """Take back a part of an issued invoice, or all that is left, by a credit note; the answer is the note.

    It stands for money that was refunded first, then for what is open; what was paid beyond is then credit.
    """
    return await write.made(
        lambda tx: queries.credit_invoice(tx, invoice_id, body),
        queries.get_invoice,
        status=201,
        location=lambda made: f"/v1/invoices/{made.id}",
    )


@router.post("/{invoice_id}/numbers", response_model=InvoiceWithLines, responses=problems(404, 409))
async def note_document_numbers(invoice_id: UUID, body: NoteNumbers, write: Write) -> Response:
    """Note, once, the tax authority's allocation number, or the number that another system gave to the document."""
    return await write.changed(invoice_id, lambda tx: queries.note_numbers(tx, invoice_id, body), queries.get_invoice)
