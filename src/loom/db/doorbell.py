"""Doorbells: a wake-up after commit, from any process to any other, and the one connection that hears them.

NOTIFY inside a transaction takes a lock of the whole cluster at commit; so it is rung afterwards, once for whatever
happened in some milliseconds. A ring may be lost: whoever listens also looks by itself from time to time.
"""

from __future__ import annotations

import asyncio
import logging
from collections import deque
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager, suppress
from typing import Any, LiteralString, Protocol

import psycopg
from psycopg import AsyncConnection, sql

log = logging.getLogger("loom.doorbell")

CHANGES: LiteralString = "loom_changes"
"""Rung after a transaction that may have changed what live streams tell."""

_WINDOW_SECONDS = 0.004
_LONGEST_PAUSE = 2.0
_UNHEARD = 1000


class _Connections(Protocol):
    def connection(self) -> Any: ...


class Doorbell:
    """Rings channels for one process, all that want it at once, at most once in 4 ms."""

    def __init__(self, connections: _Connections) -> None:
        self._connections = connections
        self._pending: set[LiteralString] = set()
        self._ringing: set[asyncio.Task[None]] = set()

    def ring(self, channel: LiteralString) -> None:
        """Wakes whoever listens, soon. Call it after the commit; it never fails and never waits."""
        if not self._pending:
            task = asyncio.get_running_loop().create_task(self._ring())
            self._ringing.add(task)
            task.add_done_callback(self._ringing.discard)
        self._pending.add(channel)

    async def say(self, channel: LiteralString, text: str) -> None:
        """Tells whoever listens something, at once. Every user of the database can hear it. It never fails."""
        await self._notify([channel], text)

    async def close(self) -> None:
        """Lets the last rings out."""
        while self._ringing:
            await asyncio.wait(self._ringing)

    async def _ring(self) -> None:
        await asyncio.sleep(_WINDOW_SECONDS)
        # From here on a new ring is a new notice: what it is about may be committed after this one was heard.
        channels, self._pending = list(self._pending), set()
        await self._notify(channels, "")

    async def _notify(self, channels: list[LiteralString], text: str) -> None:
        try:
            async with self._connections.connection() as conn:
                await conn.execute("select pg_notify(c, %s) from unnest(%s::text[]) as c", [text, channels])
        except Exception as exc:  # noqa: BLE001 - what must not be lost is in a table, and found there a second later
            log.debug("the doorbells %s did not ring: %s", channels, exc)


class Ear:
    """What one listener hears on its channel."""

    def __init__(self) -> None:
        self._rang = asyncio.Event()
        self.said: deque[str] = deque(maxlen=_UNHEARD)
        """Texts that came with rings, oldest first, for the listener to take."""

    def hear(self, text: str) -> None:
        """There was a ring."""
        if text:
            self.said.append(text)
        self._rang.set()

    async def wait(self, seconds: float) -> bool:
        """Until the next ring, or so many seconds; True if it rang since the last time."""
        with suppress(TimeoutError):
            async with asyncio.timeout(seconds):
                await self._rang.wait()
        rang = self._rang.is_set()
        self._rang.clear()
        return rang


class Listener:
    """The one connection of a process that listens, for all who want to hear. Lost, it comes back by itself."""

    def __init__(self, conninfo: str) -> None:
        self._conninfo = conninfo
        self._ears: dict[str, list[Ear]] = {}
        self._task: asyncio.Task[None] | None = None

    @asynccontextmanager
    async def hear(self, channel: LiteralString) -> AsyncGenerator[Ear]:
        """An ear on a channel. It may miss rings while the connection is away, and rings by itself when it is back."""
        ear = Ear()
        known = channel in self._ears
        self._ears.setdefault(channel, []).append(ear)
        if not known:
            await self._restart()
        try:
            yield ear
        finally:
            self._ears[channel].remove(ear)

    async def close(self) -> None:
        """Hangs up."""
        task, self._task = self._task, None
        if task is not None:
            task.cancel()
            await asyncio.gather(task, return_exceptions=True)

    async def _restart(self) -> None:
        # A connection that waits for notices cannot be asked to listen to more: it is exchanged, a few times in a life.
        await self.close()
        self._task = asyncio.get_running_loop().create_task(self._keep())

    async def _keep(self) -> None:
        pause = 0.1
        while True:
            try:
                async with await AsyncConnection.connect(
                    self._conninfo, autocommit=True, application_name="loom listener", keepalives_idle=30
                ) as conn:
                    for channel in self._ears:
                        await conn.execute(sql.SQL("listen {}").format(sql.Identifier(channel)))
                    self._ring_all()
                    pause = 0.1
                    async for notice in conn.notifies():
                        for ear in self._ears.get(notice.channel, []):
                            ear.hear(notice.payload)
            except (psycopg.Error, OSError) as exc:
                log.debug("the listener lost its connection: %s", exc)
            await asyncio.sleep(pause)
            pause = min(pause * 2, _LONGEST_PAUSE)

    def _ring_all(self) -> None:
        for ears in self._ears.values():
            for ear in ears:
                ear.hear("")
