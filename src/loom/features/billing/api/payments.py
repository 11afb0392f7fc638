"""Routes of payments and refunds."""

from __future__ import annotations

from typing import Annotated
from uuid import UUID

from fastapi import APIRouter, Query
from starlette.responses import Response

from loom.db.database import Tx
from loom.features.billing import queries
from loom.features.billing.api.outside import Gateways, answer, begin
from loom.features.billing.schemas import (
    Allocation,
    InvoicePart,
    InvoiceWithLines,
    Payment,
    PaymentStatus,
    RecordOnAccount,
    RecordPayment,
    Refund,
    RequestRefund,
    SessionRefunds,
    UndoPayment,
)
from loom.http import AppServices, Cursor, Limit, Page, Read, Write, page_of, problems
from loom.http.cursors import decode_after

router = APIRouter(prefix="/v1", tags=["payments"])

OfInvoice = Annotated[UUID | None, Query(description="Only those of this invoice.")]
OfPayment = Annotated[UUID | None, Query(description="Only those of this payment.")]
Status = Annotated[PaymentStatus | None, Query(description="Only those in this state.")]


@router.get("/payments")
async def list_payments(
    read: Read, invoice_id: OfInvoice = None, status: Status = None, limit: Limit = 50, cursor: Cursor = None
) -> Page[Payment]:
    """Payments, newest first: a client's own, and those that a coach's practice received."""
    found = await queries.list_payments(
        read, invoice_id=invoice_id, status=status, after=decode_after(cursor), limit=limit
    )
    return page_of(found, limit, "created_at", "id")


@router.post("/payments", status_code=201, response_model=Payment, responses=problems(404, 409))
async def record_payment(body: RecordPayment, write: Write) -> Response:
    """Record money that came by transfer, in cash, by voucher or otherwise, for an open invoice of yours."""
    return await write.made(
        lambda tx: queries.record_manual_payment(tx, body),
        queries.get_payment,
        status=201,
        location=lambda made: f"/v1/payments/{made.id}",
    )


@router.post("/payments/on-account", status_code=201, response_model=Payment, responses=problems(404, 409))
async def record_payment_on_account(body: RecordOnAccount, write: Write) -> Response:
    """Record money of a client of yours that is for several invoices, or for none yet."""
    return await write.made(
        lambda tx: queries.record_on_account(tx, body),
        queries.get_payment,
        status=201,
        location=lambda made: f"/v1/payments/{made.id}",
    )


@router.get("/payments/{payment_id}", responses=problems(404))
async def get_payment(payment_id: UUID, read: Read) -> Payment:
    """One payment."""
    return await queries.get_payment(read, payment_id)


@router.get("/payments/{payment_id}/allocations")
async def list_allocations(payment_id: UUID, read: Read, limit: Limit = 50, cursor: Cursor = None) -> Page[Allocation]:
    """What invoices have of a payment, newest first. What is on none is the client's credit."""
    found = await queries.list_allocations(read, payment_id, after=decode_after(cursor), limit=limit)
    return page_of(found, limit, "created_at", "id")


@router.post("/payments/{payment_id}/allocations", response_model=Payment, responses=problems(404, 409))
async def allocate_payment(payment_id: UUID, body: InvoicePart, write: Write) -> Response:
    """Give a part of a payment to an open invoice of the same client, or as much as fits."""
    return await write.changed(payment_id, lambda tx: queries.allocate(tx, payment_id, body), queries.get_payment)


@router.post("/payments/{payment_id}/allocations/release", response_model=Payment, responses=problems(404, 409))
async def release_payment(payment_id: UUID, body: InvoicePart, write: Write) -> Response:
    """Take money off an invoice again: it is open once more, and the money is the client's credit."""
    return await write.changed(payment_id, lambda tx: queries.release(tx, payment_id, body), queries.get_payment)


@router.post("/payments/{payment_id}/undo", response_model=Payment, responses=problems(404, 409))
async def undo_payment(payment_id: UUID, body: UndoPayment, write: Write) -> Response:
    """Undo a payment that was recorded by mistake. Its invoices are open again, and it stays on record as undone."""
    return await write.changed(
        payment_id, lambda tx: queries.undo_payment(tx, payment_id, body.reason), queries.get_payment
    )


@router.post("/payments/{payment_id}/receipt", response_model=InvoiceWithLines, responses=problems(404, 409))
async def issue_receipt(payment_id: UUID, write: Write) -> Response:
    """The receipt of a payment that your practice received, made now if there is none."""
    return await write.made(lambda tx: queries.issue_receipt(tx, payment_id), queries.get_invoice)


@router.post("/payments/{payment_id}/refunds", status_code=201, response_model=Refund, responses=problems(404, 409))
async def request_refund(
    payment_id: UUID, body: RequestRefund, write: Write, app: AppServices, gateways: Gateways
) -> Response:
    """Give money back, all that is left unless an amount is given. It is reserved before the gateway is asked."""
    refund_id, first = await begin(write, lambda tx: queries.request_refund(tx, payment_id, body))
    if first:
        await gateways.send_refund(refund_id)
    refund = await queries.get_refund(app.database.reader(write.actor), refund_id)
    return answer(refund, first=first, status=201, location=f"/v1/refunds/{refund_id}")


@router.post("/sessions/{session_id}/refunds", response_model=SessionRefunds, responses=problems(404, 409))
async def refund_cancelled_session(session_id: UUID, write: Write, gateways: Gateways) -> Response:
    """Give the people of a cancelled session back what each paid beyond what is owed for the seat."""

    async def work(tx: Tx) -> SessionRefunds:
        return SessionRefunds(refunds=[made.id for made in await queries.refund_session(tx, session_id)])

    answered = await write.run(work)
    for refund_id in SessionRefunds.model_validate_json(bytes(answered.body)).refunds:
        await gateways.send_refund(refund_id)
    return answered


@router.get("/refunds")
async def list_refunds(
    read: Read, payment_id: OfPayment = None, limit: Limit = 50, cursor: Cursor = None
) -> Page[Refund]:
    """Refunds, newest first."""
    found = await queries.list_refunds(read, payment_id=payment_id, after=decode_after(cursor), limit=limit)
    return page_of(found, limit, "created_at", "id")


@router.get("/refunds/{refund_id}", responses=problems(404))
async def get_refund(refund_id: UUID, read: Read) -> Refund:
    """One refund."""
    return await queries.get_refund(read, refund_id)
