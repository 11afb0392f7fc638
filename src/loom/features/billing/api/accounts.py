"""Routes of gateway accounts: where a practice receives card money."""

from __future__ import annotations

from uuid import UUID

from fastapi import APIRouter
from starlette.responses import Response

from loom.core.errors import AppError
from loom.db.database import Tx
from loom.features.billing import queries
from loom.features.billing.accounts import new_webhook_token
from loom.features.billing.api.outside import GatewayAccounts, answer, begin
from loom.features.billing.gateway_schemas import GatewayAccount, OpenGatewayAccount
from loom.http import AppServices, Cursor, Limit, Page, Read, Write, page_of, problems
from loom.http.cursors import decode_after

router = APIRouter(prefix="/v1/gateway-accounts", tags=["gateway accounts"])


@router.get("")
async def list_gateway_accounts(read: Read, limit: Limit = 50, cursor: Cursor = None) -> Page[GatewayAccount]:
    """The accounts of your practice, newest first, without their secrets."""
    found = await queries.list_accounts(read, after=decode_after(cursor), limit=limit)
    return page_of(found, limit, "created_at", "id")


@router.post("", status_code=201, response_model=GatewayAccount, responses=problems(404, 409, 503))
async def open_gateway_account(
    body: OpenGatewayAccount, write: Write, app: AppServices, gateways: GatewayAccounts
) -> Response:
    """Tie your practice to a gateway. The first account becomes the default; what opens it is stored sealed."""
    token, token_hash = new_webhook_token()
    opened = gateways.opened(body, token)

    async def add(tx: Tx) -> UUID:
        return await queries.add_account(
            tx, provider=body.provider, display_name=body.display_name, webhook_token_hash=token_hash, opened=opened
        )

    account_id, first = await begin(write, add)
    if first and opened.webhook_secret is None:
        try:
            await gateways.register_webhook(account_id)
        except AppError:
            # Its keys are not taken, or it is away: a try that failed leaves no account that payers are sent to.
            await app.database.run(write.actor, lambda tx: queries.disable_account(tx, account_id))
            raise
    account = await queries.get_account(app.database.reader(write.actor), account_id)
    return answer(account, first=first, status=201, location=f"/v1/gateway-accounts/{account_id}")


@router.get("/{account_id}", responses=problems(404))
async def get_gateway_account(account_id: UUID, read: Read) -> GatewayAccount:
    """One account of your practice."""
    return await queries.get_account(read, account_id)


@router.post("/{account_id}/webhook", status_code=204, responses=problems(404, 409, 503))
async def register_webhook(account_id: UUID, write: Write, app: AppServices, gateways: GatewayAccounts) -> Response:
    """Have the gateway send events here, signed with a new secret. The secret before it still holds."""
    await queries.get_account(app.database.reader(write.actor), account_id)
    await gateways.register_webhook(account_id)
    return Response(status_code=204)


@router.delete("/{account_id}", status_code=204, responses=problems(404))
async def disable_gateway_account(account_id: UUID, write: Write) -> Response:
    """Take no new payments through an account. Events and refunds of earlier ones still work."""
    return await write.run(lambda tx: queries.disable_account(tx, account_id))


@router.post("/{account_id}/settle-differences", status_code=204, responses=problems(404))
async def settle_differences(account_id: UUID, write: Write) -> Response:
    """Say that what comparisons found is dealt with, which closes their alert.

    What a later comparison still sees it finds again; what is older than the time it looks at is forgotten.
    """
    return await write.run(lambda tx: queries.settle_differences(tx, account_id))
