"""The address that gateways send events to. Believed only by their signature."""

from __future__ import annotations

from typing import Annotated

import structlog
from fastapi import APIRouter, Path
from starlette.requests import Request

from loom.core.clock import now
from loom.core.errors import AppError, NotFound
from loom.db.actor import Actor
from loom.features.billing import gateway_queries
from loom.features.billing.accounts import hash_webhook_token
from loom.features.billing.schemas import Received
from loom.http import AppServices, problems
from loom.http.limits import take
from loom.providers.payments import WebhookRefusedError, vault_of, webhook_reader

_log = structlog.get_logger(__name__)
router = APIRouter(prefix="/v1/webhooks", tags=["webhooks"])

LISTENING = Actor.service("find whose webhook address this is, and keep a signed event")

NOTICES_A_MINUTE = 20
"""Of one order, where notices are not signed. A gateway that is refused sends again, and the repair looks anyway."""

Provider = Annotated[str, Path(max_length=32)]
AccountToken = Annotated[str, Path(max_length=128)]


@router.post("/{provider}/{account_token}", responses=problems(400, 404, 429))
async def receive_webhook(
    provider: Provider, account_token: AccountToken, request: Request, app: AppServices
) -> Received:
    """Keep a signed event of a gateway; it is handled by a job. The same event again is fine and changes nothing.

    An address that is nobody's, and one without a configured secret, do not exist.
    """
    body = await request.body()
    reader = webhook_reader(provider)
    account = await gateway_queries.webhook_account(
        app.database.reader(LISTENING), provider, hash_webhook_token(account_token)
    )
    if reader is None or account is None:
        raise NotFound
    secrets = [vault_of(app.settings).open(secret) for secret in account.secrets]
    try:
        event = reader.read(request.headers, request.query_params, body, secrets, now())
    except WebhookRefusedError as refused:
        raise AppError(refused.reason, 400, str(refused)) from refused
    if not reader.signed and event.hint is not None:
        # The payer's browser knows the address. One order has few notices; those of others are not kept waiting.
        await take(app, f"notices:{account.id}:{event.hint.provider_id}", NOTICES_A_MINUTE, 60)
    try:
        await app.database.run(LISTENING, lambda tx: gateway_queries.receive(tx, account.id, event))
    except AppError as exc:
        # Signed, and not kept all the same: whoever looks for it finds it here.
        _log.warning("event not kept", account_id=str(account.id), event_id=event.event_id[:100], problem=exc.code)
        raise
    return Received(received=True)
