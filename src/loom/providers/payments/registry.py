"""Which gateways there are, and how one is opened for a call."""

from __future__ import annotations

import secrets
import ssl
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from functools import cache

import httpx

from loom.core.errors import Conflict
from loom.core.settings import Settings
from loom.providers.payments.protocol import PaymentGateway, WebhookReader
from loom.providers.payments.stripe_gateway import StripeGateway, StripeWebhooks

STRIPE_URL = "https://api.stripe.com"


@dataclass(frozen=True, slots=True)
class Credentials:
    """An account of a practice, with what opens it."""

    provider: str
    api_key: str | None = field(repr=False)


@asynccontextmanager
async def open_gateway(credentials: Credentials, settings: Settings) -> AsyncGenerator[PaymentGateway]:
    """The account's gateway, for a few calls. Raises 409 `gateway_unavailable` where this server does not speak it."""
    async with httpx.AsyncClient(timeout=settings.gateway_timeout_seconds, verify=_tls(), trust_env=False) as http:
        if credentials.provider == "sandbox" and settings.sandbox_url is not None:
            yield StripeGateway(settings.sandbox_url, credentials.api_key or "", http)
        elif credentials.provider == "stripe":
            yield StripeGateway(settings.stripe_url or STRIPE_URL, credentials.api_key or "", http)
        else:
            raise Conflict("gateway_unavailable", "This server has no connection to that gateway.")


def new_sandbox_key() -> str:
    """The sandbox takes any key of this form; who holds it holds the account."""
    return f"sk_test_{secrets.token_hex(16)}"


def webhook_reader(provider: str) -> WebhookReader | None:
    """Who reads this provider's webhooks; None if nobody here does."""
    return StripeWebhooks() if provider in ("sandbox", "stripe") else None


@cache
def _tls() -> ssl.SSLContext:
    """Reading the certificates takes longer than most calls, so it is done once."""
    return ssl.create_default_context()
