"""Routes of payment intents: paying an invoice by card."""

from __future__ import annotations

from typing import Annotated
from uuid import UUID

from fastapi import APIRouter, Query
from starlette.responses import Response

from loom.core.errors import Invalid
from loom.db.database import Tx
from loom.features.billing import queries
from loom.features.billing.api.outside import Gateways, answer, begin, open_intent, open_page
from loom.features.billing.schemas import (
    BeginIntent,
    CaptureIntent,
    ConfirmIntent,
    Intent,
    IntentWithSecret,
    OpenPaymentPage,
    PaymentPage,
)
from loom.http import AppServices, Cursor, Limit, Page, Read, Write, page_of, problems
from loom.http.cursors import decode_after

router = APIRouter(prefix="/v1", tags=["payment intents"])

OfInvoice = Annotated[UUID | None, Query(description="Only those of this invoice.")]


@router.post(
    "/invoices/{invoice_id}/payment-intents",
    status_code=201,
    response_model=IntentWithSecret,
    responses=problems(404, 409),
)
async def begin_payment_intent(
    invoice_id: UUID, write: Write, app: AppServices, gateways: Gateways, body: BeginIntent | None = None
) -> Response:
    """Begin to pay what is open on an invoice. Payer and coach share one intent, so it is paid once.

    The secret is told to the payer only. It is null while the gateway has not answered; ask for the intent again then.
    """
    capture = body.capture if body is not None else "automatic"
    return await open_intent(write, app, gateways, lambda tx: queries.begin_intent(tx, invoice_id, capture=capture))


@router.post(
    "/invoices/{invoice_id}/payment-page",
    status_code=201,
    response_model=PaymentPage,
    responses=problems(404, 409, 503),
)
async def open_payment_page(invoice_id: UUID, body: OpenPaymentPage, write: Write, gateways: Gateways) -> Response:
    """Open the gateway's own page to pay what is open on an invoice; the same page again while it holds."""
    return await open_page(write, gateways, body, lambda tx: queries.begin_intent(tx, invoice_id, channel="hosted"))


@router.post("/payment-intents/{intent_id}/check", response_model=Intent, responses=problems(404))
async def check_payment_intent(intent_id: UUID, write: Write, app: AppServices, gateways: Gateways) -> Response:
    """Ask the gateway how an intent stands, as when the payer comes back from its page."""
    await queries.get_intent(app.database.reader(write.actor), intent_id)
    await gateways.check_intent(intent_id)
    return answer(await queries.get_intent(app.database.reader(write.actor), intent_id), first=True)


@router.get("/payment-intents")
async def list_payment_intents(
    read: Read, invoice_id: OfInvoice = None, limit: Limit = 50, cursor: Cursor = None
) -> Page[Intent]:
    """Intents, newest first: a client's own, and those to pay a coach's practice."""
    found = await queries.list_intents(read, invoice_id=invoice_id, after=decode_after(cursor), limit=limit)
    return page_of(found, limit, "created_at", "id")


@router.get("/payment-intents/{intent_id}", responses=problems(404))
async def get_payment_intent(intent_id: UUID, read: Read) -> IntentWithSecret:
    """How an intent stands. The secret is told to the payer only."""
    return await queries.get_intent_with_secret(read, intent_id)


@router.post("/payment-intents/{intent_id}/confirm", response_model=Intent, responses=problems(404, 409))
async def confirm_payment_intent(
    intent_id: UUID, body: ConfirmIntent, write: Write, app: AppServices, gateways: Gateways
) -> Response:
    """Pay, with a card or a saved way to pay. A decline is an answer: the intent then waits for another card."""
    if (body.card_token is None) == (body.payment_method_id is None):
        raise Invalid("one_card", "Give either a card_token or a payment_method_id.")
    payment_id, first = await begin(write, lambda tx: queries.begin_attempt(tx, intent_id, body.payment_method_id))
    if first:
        await gateways.send_attempt(payment_id, body.card_token)
    return answer(await queries.get_intent(app.database.reader(write.actor), intent_id), first=first)


@router.post("/payment-intents/{intent_id}/capture", response_model=Intent, responses=problems(404, 409))
async def capture_payment_intent(
    intent_id: UUID, body: CaptureIntent, write: Write, app: AppServices, gateways: Gateways
) -> Response:
    """Take money that is held for your practice, all of it unless a sum is said; the rest is let go."""
    _, first = await begin(write, lambda tx: queries.begin_capture(tx, intent_id, body.amount_cents))
    if first:
        await gateways.send_capture(intent_id)
    return answer(await queries.get_intent(app.database.reader(write.actor), intent_id), first=first)


@router.post("/invoices/{invoice_id}/charge", status_code=201, response_model=Intent, responses=problems(404, 409))
async def charge_invoice(invoice_id: UUID, write: Write, app: AppServices, gateways: Gateways) -> Response:
    """Charge the card that the client has consented to being charged while away, for what is open on an invoice.

    Where the issuer wants the client present, the intent waits for the client, who is asked to pay.
    """
    intent_id, first = await begin(write, lambda tx: queries.begin_off_session_charge(tx, invoice_id))
    if first:
        await gateways.charge_off_session(intent_id)
    intent = await queries.get_intent(app.database.reader(write.actor), intent_id)
    return answer(intent, first=first, status=201, location=f"/v1/payment-intents/{intent_id}")


@router.post("/payment-intents/{intent_id}/cancel", response_model=Intent, responses=problems(404, 409))
async def cancel_payment_intent(intent_id: UUID, write: Write) -> Response:
    """Give an intent up."""

    async def work(tx: Tx) -> Intent:
        await queries.cancel_intent(tx, intent_id)
        return await queries.get_intent(tx, intent_id)

    return await write.run(work)
