"""How often somebody may knock: fixed windows counted in PostgreSQL, so that every process counts together."""

from __future__ import annotations

import hashlib
import ipaddress
import json
from typing import Any, cast

from fastapi import Depends
from starlette.requests import Request

from loom.core.errors import AppError
from loom.db.actor import Actor
from loom.db.sql import load_queries
from loom.http.services import AppServices, Services

SQL = load_queries("loom.http")


class Limit:
    """A dependency that answers 429 `rate_limited` beyond `allowed` requests in `per` seconds.

    Counted by address, and by subject where `subject` names a field of the body (an e-mail address, say): then an
    address is allowed more, since many people may share one.
    """

    def __init__(self, name: str, allowed: int, per: int, subject: str | None, by_address: int | None) -> None:
        self.name = name
        self.allowed = allowed
        self.per = per
        self.subject = subject
        self.by_address = by_address or (allowed * 6 if subject else allowed)

    async def __call__(self, request: Request, app: AppServices) -> None:
        """Count this request; raises 429."""
        await take(app, f"{self.name}:address:{client_network(request)}", self.by_address, self.per)
        if self.subject is not None:
            value = _field(await request.body(), self.subject)
            if value is not None:
                await take(app, f"{self.name}:{self.subject}:{value}", self.allowed, self.per)


def RateLimit(  # noqa: N802 - reads as the dependency it makes
    name: str, allowed: int, *, per: int, subject: str | None = None, by_address: int | None = None
) -> Any:
    """`dependencies=[RateLimit("sign_in", 5, per=60, subject="email")]`; `per` is in seconds."""
    return Depends(Limit(name, allowed, per, subject, by_address))


async def take(app: Services, bucket: str, allowed: int, per: int) -> None:
    """Count one in a bucket; raises 429 with `retry_after` when the window is full. Names are stored hashed."""
    if not app.settings.rate_limits:
        return
    hashed = hashlib.sha256(bucket.encode()).hexdigest()
    async with app.database.transaction(Actor.service("count requests against a limit")) as tx:
        wait = await tx.fetch_value(SQL["hit_rate_limit"], {"bucket": hashed, "allowed": allowed, "seconds": per})
    if wait:
        raise AppError(
            "rate_limited", 429, "Too many requests of this kind.", f"Wait {wait} seconds.", {"retry_after": wait}
        )


def client_network(request: Request) -> str:
    """The caller's address; of IPv6 the /64, since one household or host has all of it."""
    host = request.client.host if request.client else "unknown"
    try:
        address = ipaddress.ip_address(host)
    except ValueError:
        return host
    if isinstance(address, ipaddress.IPv6Address):
        if address.ipv4_mapped is not None:
            return str(address.ipv4_mapped)
        return str(ipaddress.ip_network((address, 64), strict=False))
    return host


def _field(body: bytes, name: str) -> str | None:
    try:
        parsed: object = json.loads(body)
    except (ValueError, RecursionError):
        return None
    if not isinstance(parsed, dict):
        return None
    value = cast("dict[str, object]", parsed).get(name)
    return value.strip().casefold() if isinstance(value, str) else None
