"""Which gateways there are, and how one is opened for a call."""

from __future__ import annotations

import secrets
import ssl
from collections.abc import AsyncGenerator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field, replace
from functools import cache
from typing import Any

import httpx

from loom.core.errors import Conflict
from loom.core.settings import Settings
from loom.providers.payments.protocol import PaymentGateway, WebhookReader
from loom.providers.payments.stripe_gateway import StripeGateway, StripeWebhooks
from loom.providers.payments.tranzila_calls import Addresses
from loom.providers.payments.tranzila_gateway import TranzilaGateway
from loom.providers.payments.tranzila_webhooks import TranzilaWebhooks
from loom.providers.payments.tranzila_wire import Terminal
from loom.providers.payments.vault import vault_of

STRIPE_URL = "https://api.stripe.com"


@dataclass(frozen=True, slots=True)
class Credentials:
    """An account of a practice, with what opens it; the key is sealed."""

    provider: str
    api_key: str | None = field(repr=False)
    external_id: str | None = None
    public_key: str | None = None
    options: Mapping[str, Any] = field(default_factory=dict[str, Any])


@asynccontextmanager
async def open_gateway(credentials: Credentials, settings: Settings) -> AsyncGenerator[PaymentGateway]:
    """The account's gateway, for a few calls. Raises 409 `gateway_unavailable` where this server does not speak it."""
    if credentials.api_key is not None:
        credentials = replace(credentials, api_key=vault_of(settings).open(credentials.api_key))
    async with httpx.AsyncClient(timeout=settings.gateway_timeout_seconds, verify=_tls(), trust_env=False) as http:
        if credentials.provider == "sandbox" and settings.sandbox_url is not None:
            yield StripeGateway(settings.sandbox_url, credentials.api_key or "", http)
        elif credentials.provider == "stripe":
            yield StripeGateway(settings.stripe_url or STRIPE_URL, credentials.api_key or "", http)
        elif credentials.provider == "tranzila":
            yield TranzilaGateway(_addresses(settings), _terminal(credentials), http)
        else:
            raise Conflict("gateway_unavailable", "This server has no connection to that gateway.")


def new_sandbox_key() -> str:
    """The sandbox takes any key of this form; who holds it holds the account."""
    return f"sk_test_{secrets.token_hex(16)}"


def webhook_reader(provider: str) -> WebhookReader | None:
    """Who reads this provider's webhooks; None if nobody here does."""
    if provider == "tranzila":
        return TranzilaWebhooks()
    return StripeWebhooks() if provider in ("sandbox", "stripe") else None


def _addresses(settings: Settings) -> Addresses:
    stand_in = settings.tranzila_url
    where = Addresses() if stand_in is None else Addresses(stand_in, stand_in, stand_in)
    return replace(where, time_unit=settings.tranzila_time_unit, nonce_bytes=settings.tranzila_nonce_bytes)


def _terminal(credentials: Credentials) -> Terminal:
    options = credentials.options
    return Terminal(
        name=credentials.external_id or "",
        app_key=credentials.public_key or "",
        secret=credentials.api_key or "",
        reference_field=str(options.get("reference_field", "user_defined_1")),
        handshake=bool(options.get("handshake", True)),
        report_in_minor=bool(options.get("report_in_minor", False)),
    )


@cache
def _tls() -> ssl.SSLContext:
    """Reading the certificates takes longer than most calls, so it is done once."""
    return ssl.create_default_context()
