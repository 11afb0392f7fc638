"""Routes of saved ways to pay."""

from __future__ import annotations

from uuid import UUID

from fastapi import APIRouter
from starlette.responses import Response

from loom.features.billing import queries
from loom.features.billing.api.outside import Gateways
from loom.features.billing.schemas import ChangePaymentMethod, PaymentMethod, SavePaymentMethod
from loom.http import AppServices, Cursor, Limit, Page, Read, Write, page_of, problems
from loom.http.cursors import decode_after

router = APIRouter(prefix="/v1/payment-methods", tags=["payment methods"])


@router.get("")
async def list_payment_methods(read: Read, limit: Limit = 50, cursor: Cursor = None) -> Page[PaymentMethod]:
    """Your own saved ways to pay, newest first."""
    found = await queries.list_methods(read, after=decode_after(cursor), limit=limit)
    return page_of(found, limit, "created_at", "id")


@router.post("", status_code=201, response_model=PaymentMethod, responses=problems(404, 409, 503))
async def save_payment_method(body: SavePaymentMethod, write: Write, app: AppServices, gateways: Gateways) -> Response:
    """Keep a card with the gateway of a practice whose client you are. Loom never holds its number."""
    account_id = await queries.gateway_of(app.database.reader(write.actor), body.practice_id)
    method_id = await gateways.save_method(
        write.user_id, account_id, card_token=body.card_token, is_default=body.is_default, key=write.key
    )
    return await write.run(
        lambda tx: queries.get_method(tx, method_id),
        status=201,
        location=lambda made: f"/v1/payment-methods/{made.id}",
    )


@router.get("/{method_id}", responses=problems(404))
async def get_payment_method(method_id: UUID, read: Read) -> PaymentMethod:
    """One saved way to pay of yours."""
    return await queries.get_method(read, method_id)


@router.patch("/{method_id}", response_model=PaymentMethod, responses=problems(404))
async def change_payment_method(method_id: UUID, body: ChangePaymentMethod, write: Write) -> Response:
    """Make a saved way to pay your default one, or no longer."""
    return await write.run(lambda tx: queries.change_method(tx, method_id, is_default=body.is_default))


@router.delete("/{method_id}", status_code=204, responses=problems(404))
async def remove_payment_method(method_id: UUID, write: Write) -> Response:
    """Remove a saved way to pay; the gateway is told to forget it."""
    return await write.run(lambda tx: queries.detach_method(tx, method_id))
