"""Routes for paying a time that is held. The payment, once the gateway has confirmed it, makes the session."""

from __future__ import annotations

from uuid import UUID

from fastapi import APIRouter
from starlette.responses import Response

from loom.features.billing import queries
from loom.features.billing.api.outside import Gateways, open_intent, open_page
from loom.features.billing.schemas import IntentWithSecret, OpenPaymentPage, PaymentPage
from loom.http import AppServices, Write, problems

router = APIRouter(prefix="/v1", tags=["payment intents"])


@router.post(
    "/booking-requests/{request_id}/payment-intents",
    status_code=201,
    response_model=IntentWithSecret,
    responses=problems(404, 409),
)
async def begin_hold_payment(request_id: UUID, write: Write, app: AppServices, gateways: Gateways) -> Response:
    """Begin to pay for a time that is held for you. Once it is paid, the time is a session with a paid invoice.

    Paid after the hold ran out, you get the time if it is still free; otherwise the money goes back by itself.
    """
    return await open_intent(write, app, gateways, lambda tx: queries.begin_hold_payment(tx, request_id))


@router.post(
    "/booking-requests/{request_id}/payment-page",
    status_code=201,
    response_model=PaymentPage,
    responses=problems(404, 409, 503),
)
async def open_hold_payment_page(request_id: UUID, body: OpenPaymentPage, write: Write, gateways: Gateways) -> Response:
    """Open the gateway's own page to pay for a time that is held for you; the same page again while it holds."""
    return await open_page(
        write, gateways, body, lambda tx: queries.begin_hold_payment(tx, request_id, channel="hosted")
    )
