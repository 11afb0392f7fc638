"""Which gateways there are, and how one is opened for a call."""

from __future__ import annotations

import json
import ssl
from collections.abc import AsyncGenerator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass
from functools import cache
from typing import Any

import httpx

from loom.core.errors import Conflict
from loom.core.settings import Settings
from loom.providers.payments.protocol import GatewayEvent, OpenedAccount, PaymentGateway, WebhookReader
from loom.providers.payments.sandbox import SandboxGateway, SandboxWebhooks, event_from_payload, open_account


@dataclass(frozen=True, slots=True)
class Credentials:
    """An account of a practice, with what opens it."""

    provider: str
    api_key: str | None


@asynccontextmanager
async def open_gateway(credentials: Credentials, settings: Settings) -> AsyncGenerator[PaymentGateway]:
    """The account's gateway, for a few calls. Raises 409 `gateway_unavailable` where this server does not speak it."""
    url = _sandbox_url(credentials.provider, settings)
    async with _client(settings) as http:
        yield SandboxGateway(url, credentials.api_key or "", http)


async def open_new_account(provider: str, name: str, settings: Settings) -> OpenedAccount:
    """An account at a gateway that makes them by itself; the sandbox does."""
    url = _sandbox_url(provider, settings)
    async with _client(settings) as http:
        return await open_account(url, name, http)


def webhook_reader(provider: str) -> WebhookReader | None:
    """Who reads this provider's webhooks; None if nobody here does."""
    return SandboxWebhooks() if provider == "sandbox" else None


def read_stored_event(provider: str, payload: Mapping[str, Any]) -> GatewayEvent | None:
    """An event out of the inbox, where it only lies if its signature was good."""
    return event_from_payload(json.dumps(payload).encode()) if provider == "sandbox" else None


def _sandbox_url(provider: str, settings: Settings) -> str:
    if provider != "sandbox" or settings.sandbox_url is None:
        raise Conflict("gateway_unavailable", "This server has no connection to that gateway.")
    return settings.sandbox_url


@cache
def _tls() -> ssl.SSLContext:
    """Reading the certificates takes longer than most calls, so it is done once."""
    return ssl.create_default_context()


def _client(settings: Settings) -> httpx.AsyncClient:
    return httpx.AsyncClient(timeout=settings.gateway_timeout_seconds, verify=_tls(), trust_env=False)
