"""Keys of another issuer, fetched from its JWKS address and kept."""

from __future__ import annotations

import asyncio
import time
from typing import Any

import httpx
from joserfc.errors import JoseError
from joserfc.jwk import KeySet

from loom.core.errors import AppError


class RemoteKeys:
    """The key set at an address: kept for ten minutes, fetched again early for a key id that is not in it.

    An unknown key id can be made up by anyone, so it leads to a fetch at most every thirty seconds. A failed fetch
    leaves the keys that are there in use; without any it is 503 `token_keys_unavailable`.
    """

    KEEP_SECONDS = 600.0
    RETRY_SECONDS = 30.0

    def __init__(self, url: str, transport: httpx.AsyncBaseTransport | None = None) -> None:
        self._url = url
        self._transport = transport
        self._keys: KeySet | None = None
        self._fetched = 0.0
        self._tried = 0.0
        self._lock = asyncio.Lock()

    async def keys_for(self, kid: str | None) -> KeySet:
        """A key set that holds `kid` if the issuer has it."""
        if self._wants_fetch(kid):
            async with self._lock:
                if self._wants_fetch(kid):
                    await self._fetch()
        if self._keys is None:
            raise AppError(
                status=503, code="token_keys_unavailable", detail="The issuer's keys can't be fetched at the moment."
            )
        return self._keys

    def _wants_fetch(self, kid: str | None) -> bool:
        now = time.monotonic()
        if self._tried and now - self._tried < self.RETRY_SECONDS:
            return False
        if self._keys is None or now - self._fetched > self.KEEP_SECONDS:
            return True
        return kid is not None and all(key.kid != kid for key in self._keys.keys)

    async def _fetch(self) -> None:
        self._tried = time.monotonic()
        try:
            async with httpx.AsyncClient(timeout=5.0, transport=self._transport) as http:
                answer = await http.get(self._url)
                answer.raise_for_status()
                found: Any = answer.json()
                self._keys = KeySet.import_key_set(found)
        except (httpx.HTTPError, JoseError, ValueError, KeyError, TypeError):
            return
        self._fetched = time.monotonic()
