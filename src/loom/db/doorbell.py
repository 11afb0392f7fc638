"""Doorbells: a wake-up without content, after commit, from any process to any other.

NOTIFY inside a transaction takes a lock of the whole cluster at commit; so it is rung afterwards, once for whatever
happened in some milliseconds. A ring may be lost: whoever listens also looks by itself from time to time.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncGenerator, Awaitable, Callable
from contextlib import asynccontextmanager
from typing import Any, LiteralString, Protocol

import psycopg
from psycopg import AsyncConnection, sql

log = logging.getLogger("loom.doorbell")

_WINDOW_SECONDS = 0.004


class _Connections(Protocol):
    def connection(self) -> Any: ...


class Doorbell:
    """Rings channels for one process, at most once per channel in 4 ms."""

    def __init__(self, connections: _Connections) -> None:
        self._connections = connections
        self._pending: dict[LiteralString, asyncio.Task[None]] = {}

    def ring(self, channel: LiteralString) -> None:
        """Wakes whoever listens, soon. Call it after the commit; it never fails and never waits."""
        if channel not in self._pending:
            self._pending[channel] = asyncio.get_running_loop().create_task(self._ring(channel))

    async def _ring(self, channel: LiteralString) -> None:
        await asyncio.sleep(_WINDOW_SECONDS)
        # From here on a new ring is a new notice: what it is about may be committed after this one was heard.
        del self._pending[channel]
        try:
            async with self._connections.connection() as conn:
                await conn.execute("select pg_notify(%s, '')", [channel])
        except Exception as exc:  # noqa: BLE001 - the listener looks by itself a second later
            log.debug("the doorbell %s did not ring: %s", channel, exc)


@asynccontextmanager
async def listening(conninfo: str, channel: LiteralString) -> AsyncGenerator[Callable[[float], Awaitable[bool]]]:
    """One connection that listens. The function given waits for a ring or so many seconds; True if it rang."""
    conn = await AsyncConnection.connect(conninfo, autocommit=True, application_name="loom listener")
    try:
        await conn.execute(sql.SQL("listen {}").format(sql.Identifier(channel)))

        async def wait(seconds: float) -> bool:
            rang = False
            async for _ in conn.notifies(timeout=seconds, stop_after=1):
                rang = True
            return rang

        yield wait
    finally:
        try:
            await conn.close()
        except psycopg.Error:
            log.debug("the listener's connection was gone already")
