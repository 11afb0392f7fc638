"""Routes of saved ways to pay."""

from __future__ import annotations

from uuid import UUID

from fastapi import APIRouter
from starlette.responses import Response

from loom.core.errors import NotFound
from loom.db.database import Tx
from loom.features.billing import queries
from loom.features.billing.api.outside import Gateways, KeptCards, answer, begin
from loom.features.billing.gateway_schemas import (
    ChangePaymentMethod,
    KeepCard,
    MethodPage,
    MethodSetup,
    PaymentMethod,
    SavePaymentMethod,
)
from loom.http import AppServices, Cursor, Limit, Page, Read, Write, page_of, problems
from loom.http.cursors import decode_after

router = APIRouter(prefix="/v1/payment-methods", tags=["payment methods"])


@router.get("")
async def list_payment_methods(read: Read, limit: Limit = 50, cursor: Cursor = None) -> Page[PaymentMethod]:
    """Your own saved ways to pay, newest first."""
    found = await queries.list_methods(read, after=decode_after(cursor), limit=limit)
    return page_of(found, limit, "created_at", "id")


@router.post("", status_code=201, response_model=PaymentMethod, responses=problems(404, 409, 503))
async def save_payment_method(body: SavePaymentMethod, write: Write, app: AppServices, cards: KeptCards) -> Response:
    """Keep a card with the gateway of a practice whose client you are. Loom never holds its number.

    `consent_text` is what you agreed to, and is kept with the card; `off_session` that it may be charged while you
    are away.
    """
    setup_id, first = await begin(write, lambda tx: queries.begin_setup(tx, body))
    if first:
        await cards.send_setup(setup_id, body.card_token)
    reader = app.database.reader(write.actor)
    setup = await queries.get_setup(reader, setup_id)
    if setup.payment_method_id is None:
        raise NotFound
    method = await queries.get_method(app.database.reader(write.actor), setup.payment_method_id)
    return answer(method, first=first, status=201, location=f"/v1/payment-methods/{method.id}")


@router.post("/page", status_code=201, response_model=MethodPage, responses=problems(404, 409, 503))
async def open_card_page(body: KeepCard, write: Write, cards: KeptCards, gateways: Gateways) -> Response:
    """Open the gateway's own page on which you have a card kept. Coming back proves nothing: ask for the setup."""

    async def step(tx: Tx) -> UUID:
        made = await queries.begin_setup(tx, body)
        gateways.check_way_back(body.success_url, body.cancel_url)
        return made

    setup_id, first = await begin(write, step)
    page = await cards.open_page(setup_id, success_url=body.success_url, cancel_url=body.cancel_url, locale=body.locale)
    said = MethodPage(setup_id=setup_id, url=page.url, expires_at=page.expires_at)
    return answer(said, first=first, status=201, location=f"/v1/payment-methods/setups/{setup_id}")


@router.get("/setups/{setup_id}", responses=problems(404))
async def get_method_setup(setup_id: UUID, read: Read) -> MethodSetup:
    """How the keeping of a card of yours stands."""
    return await queries.get_setup(read, setup_id)


@router.post("/setups/{setup_id}/check", response_model=MethodSetup, responses=problems(404))
async def check_method_setup(setup_id: UUID, write: Write, app: AppServices, cards: KeptCards) -> Response:
    """Ask the gateway how it stands, as when you come back from its page."""
    await queries.get_setup(app.database.reader(write.actor), setup_id)
    await cards.check_setup(setup_id)
    return answer(await queries.get_setup(app.database.reader(write.actor), setup_id), first=True)


@router.get("/{method_id}", responses=problems(404))
async def get_payment_method(method_id: UUID, read: Read) -> PaymentMethod:
    """One saved way to pay of yours."""
    return await queries.get_method(read, method_id)


@router.patch("/{method_id}", response_model=PaymentMethod, responses=problems(404))
async def change_payment_method(method_id: UUID, body: ChangePaymentMethod, write: Write) -> Response:
    """Make a saved way to pay your default one, or no longer; or take back that it is charged while you are away."""
    return await write.run(lambda tx: queries.change_method(tx, method_id, body))


@router.delete("/{method_id}", status_code=204, responses=problems(404))
async def remove_payment_method(method_id: UUID, write: Write) -> Response:
    """Remove a saved way to pay; the gateway is told to forget it."""
    return await write.run(lambda tx: queries.detach_method(tx, method_id))
