"""Requests that call a gateway: first a transaction of the caller, then the call outside any, then the answer."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Annotated, TypeVar
from uuid import UUID

from fastapi import Depends
from pydantic import BaseModel
from starlette.responses import Response

from loom.db.database import Tx
from loom.features.billing import queries
from loom.features.billing.accounts import Accounts
from loom.features.billing.cards import Cards
from loom.features.billing.schemas import Created, OpenPaymentPage, PaymentPage
from loom.features.billing.service import Billing
from loom.http import AppServices, Services, WriteScope

M = TypeVar("M", bound=BaseModel)


async def billing(app: AppServices) -> Billing:
    """Billing's dealings with gateways."""
    return Billing(app.database, app.settings)


async def cards(app: AppServices) -> Cards:
    """Billing's dealings about kept cards."""
    return Cards(app.database, app.settings)


async def accounts(app: AppServices) -> Accounts:
    """Billing's dealings about accounts at gateways."""
    return Accounts(app.database, app.settings)


Gateways = Annotated[Billing, Depends(billing)]
KeptCards = Annotated[Cards, Depends(cards)]
GatewayAccounts = Annotated[Accounts, Depends(accounts)]


async def begin(write: WriteScope, work: Callable[[Tx], Awaitable[UUID]]) -> tuple[UUID, bool]:
    """Commits the caller's step and gives the id that it made; False where the Idempotency-Key was seen before.

    A repeated request must not call the gateway again: it only gets to see how things stand.
    """
    first = False

    async def step(tx: Tx) -> Created:
        nonlocal first
        made = await work(tx)
        first = True
        return Created(id=made)

    kept = await write.run(step)
    return Created.model_validate_json(bytes(kept.body)).id, first


async def open_intent(
    write: WriteScope, app: Services, gateways: Billing, work: Callable[[Tx], Awaitable[UUID]]
) -> Response:
    """Begins an intent and has the gateway make it."""
    intent_id, first = await begin(write, work)
    await gateways.send_intent(intent_id)
    intent = await queries.get_intent_with_secret(app.database.reader(write.actor), intent_id)
    return answer(intent, first=first, status=201, location=f"/v1/payment-intents/{intent_id}")


async def open_page(
    write: WriteScope, gateways: Billing, body: OpenPaymentPage, work: Callable[[Tx], Awaitable[UUID]]
) -> Response:
    """Begins an intent and has the gateway open its page for it."""

    async def step(tx: Tx) -> UUID:
        made = await work(tx)
        gateways.check_way_back(body.success_url, body.cancel_url)
        return made

    intent_id, first = await begin(write, step)
    page = await gateways.open_page(
        intent_id, success_url=body.success_url, cancel_url=body.cancel_url, locale=body.locale
    )
    said = PaymentPage(intent_id=intent_id, url=page.url, expires_at=page.expires_at)
    return answer(said, first=first, status=201, location=f"/v1/payment-intents/{intent_id}")


def answer(body: BaseModel, *, first: bool, status: int = 200, location: str | None = None) -> Response:
    """The answer, marked where the request was a repetition."""
    headers = {} if first else {"Idempotent-Replayed": "true"}
    if location is not None:
        headers["Location"] = location
    return Response(body.model_dump_json(), status_code=status, headers=headers, media_type="application/json")
