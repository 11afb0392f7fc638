"""Accounts at gateways: what opens them is sealed before it reaches the database."""

from __future__ import annotations

import hashlib
import secrets
from uuid import UUID

from loom.core.errors import Conflict, Invalid
from loom.core.settings import Settings
from loom.db.database import Database
from loom.features.billing import gateway_queries as gateways
from loom.features.billing.gateway_schemas import OpenGatewayAccount
from loom.features.billing.queries import NewAccount
from loom.features.billing.service import HEARING, SENDING, unanswered
from loom.providers.errors import RetryableError
from loom.providers.payments import GatewayRefusedError, new_sandbox_key, open_gateway, vault_of


class Accounts:
    """What billing does about accounts at gateways."""

    def __init__(self, database: Database, settings: Settings) -> None:
        self._db = database
        self._settings = settings

    def opened(self, wanted: OpenGatewayAccount, token: str) -> NewAccount:
        """What is stored of a new account. Raises 422 `gateway_fields` for what its gateway needs or can't use."""
        seal = vault_of(self._settings).seal
        if wanted.provider == "sandbox":
            if self._settings.sandbox_url is None:
                raise Conflict("gateway_unavailable", "This server has no connection to that gateway.")
            return NewAccount(seal(new_sandbox_key()), None, seal(token))
        if wanted.provider == "stripe":
            key = wanted.api_key.get_secret_value() if wanted.api_key else ""
            if not key.startswith(("sk_test_", "sk_live_", "rk_test_", "rk_live_")):
                raise Invalid("gateway_fields", "Stripe needs api_key, a secret or restricted key.")
            given = wanted.webhook_secret.get_secret_value() if wanted.webhook_secret else None
            return NewAccount(
                seal(key),
                seal(given) if given else None,
                seal(token),
                public_key=wanted.app_key,
                is_live="_live_" in key,
            )
        if wanted.api_key is None or wanted.app_key is None or wanted.terminal is None:
            raise Invalid("gateway_fields", "Tranzila needs terminal, app_key and api_key, the application's secret.")
        options = wanted.model_dump(include={"reference_field", "handshake", "report_in_minor"})
        return NewAccount(
            seal(wanted.api_key.get_secret_value()), seal(secrets.token_urlsafe(32)), seal(token), wanted.terminal,
            wanted.app_key, is_live=self._settings.tranzila_url is None, options=options,
        )  # fmt: skip

    async def register_webhook(self, account_id: UUID) -> None:
        """Tells the gateway where an account's events go, and keeps what it will sign them with.

        Done again it makes a new secret; what was signed with the one before is still taken.
        """
        call = await gateways.account_call(self._db.reader(SENDING), account_id)
        if call.webhook_token is None:
            raise Conflict("webhook_lost", "The address of this account is not known any more.", "Open it anew.")
        vault = vault_of(self._settings)
        url = f"{self._settings.base_url}/v1/webhooks/{call.provider}/{vault.open(call.webhook_token)}"
        try:
            async with open_gateway(call.credentials, self._settings) as gateway:
                secret = await gateway.register_webhook(url)
        except (GatewayRefusedError, RetryableError) as exc:
            raise unanswered(exc) from exc
        if secret is not None:
            sealed = vault.seal(secret)
            await self._db.run(HEARING, lambda tx: gateways.set_webhook_secret(tx, account_id, sealed))


def new_webhook_token() -> tuple[str, str]:
    """A token for a webhook's address, and the hash that is kept of it."""
    token = secrets.token_urlsafe(24)
    return token, hash_webhook_token(token)


def hash_webhook_token(token: str) -> str:
    """SHA-256 in hex."""
    return hashlib.sha256(token.encode()).hexdigest()
