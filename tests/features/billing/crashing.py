"""Crashes on purpose: at a named point of an operation with a gateway, in one of three ways."""

from __future__ import annotations

import asyncio
import os
import signal
from collections.abc import AsyncGenerator, Awaitable, Callable, Generator
from contextlib import asynccontextmanager, contextmanager, suppress
from typing import Any, Literal

import psycopg
import pytest

from loom.db.database import Database
from loom.features.billing import cards, service
from loom.providers.payments import open_gateway

Point = Literal["before_commit", "after_commit", "response_lost", "before_outcome", "before_ack"]
Way = Literal["exception", "sigkill", "terminate"]
POINTS: tuple[Point, ...] = ("before_commit", "after_commit", "response_lost", "before_outcome", "before_ack")
WAYS: tuple[Way, ...] = ("exception", "sigkill", "terminate")
CALLS = frozenset({"confirm", "capture", "refund", "cancel", "save_method", "open_setup_page", "open_page"})


class Crash(BaseException):
    """The process is no more: nothing in it may catch this."""


class Doom:
    """Waits until its point has been passed `spared` times, then does what it was made for, once."""

    def __init__(
        self, point: Point, way: Way, superuser_url: str, *, calls: frozenset[str] = CALLS, spared: int = 0
    ) -> None:
        self.point = point
        self.way = way
        self.calls = calls
        self._superuser_url = superuser_url
        self._spared = spared
        self.happened = False

    def reach(self, point: Point) -> None:
        """Somebody is at a point."""
        if self.happened or point != self.point:
            return
        if self._spared > 0:
            self._spared -= 1
            return
        if self.way == "sigkill":
            os.kill(os.getpid(), signal.SIGKILL)
        if self.way == "terminate":
            self._terminate()
        self.happened = True
        if self.way == "exception":
            raise Crash
        if point in ("after_commit", "response_lost", "before_ack"):
            # No transaction is open there to fail by itself: the process is taken to end with its connections.
            raise Crash

    def _terminate(self) -> None:
        """Ends the application's connections. It takes a superuser: the owner of the tables is refused."""
        with psycopg.connect(self._superuser_url, autocommit=True) as superuser:
            ended = superuser.execute(
                "select pg_terminate_backend(pid, 5000) as ended from pg_stat_activity"
                " where datname = current_database() and usename = 'loom_api' and application_name = 'loom'"
            ).fetchall()
        assert ended, "there was nothing to terminate"
        assert all(row[0] for row in ended), "a connection outlived its end"

    @asynccontextmanager
    async def gateway(self, *arguments: Any) -> AsyncGenerator[Any]:
        """The real gateway, with a crash before or after the call that counts."""
        async with open_gateway(*arguments) as real:
            yield _Proxy(real, self)


class _Proxy:
    def __init__(self, real: Any, doom: Doom) -> None:
        self._real = real
        self._doom = doom

    def __getattr__(self, name: str) -> Any:
        found = getattr(self._real, name)
        if name not in self._doom.calls:
            return found

        async def call(*arguments: Any, **named: Any) -> Any:
            self._doom.reach("after_commit")
            said = await found(*arguments, **named)
            self._doom.reach("response_lost")
            return said

        return call


class CrashingDatabase:
    """The database, with a crash after the work of a transaction and before its commit."""

    def __init__(self, real: Database, doom: Doom) -> None:
        self._real = real
        self._doom = doom
        self.beginning = True

    def __getattr__(self, name: str) -> Any:
        return getattr(self._real, name)

    async def run(self, actor: Any, work: Callable[[Any], Awaitable[Any]]) -> Any:
        async def doomed(tx: Any) -> Any:
            done = await work(tx)
            # What is written before the call is the attempt; what is written after it is the outcome.
            self._doom.reach("before_commit" if self.beginning else "before_outcome")
            return done

        return await self._real.run(actor, doomed)


@contextmanager
def doomed_calls(doom: Doom) -> Generator[None]:
    """Every gateway that billing opens in the block is the doom's."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(service, "open_gateway", doom.gateway)
        patch.setattr(cards, "open_gateway", doom.gateway)
        yield


def crashed(api_url: str, doom: Doom, work: Callable[[Any], Awaitable[None]]) -> bool:
    """Runs the work until it crashes: in a process of its own where that is killed, else here. Whether it crashed."""

    async def run() -> None:
        async with await Database.open(api_url, max_size=2) as database:
            await work(CrashingDatabase(database, doom))
            doom.reach("before_ack")

    with doomed_calls(doom):
        if doom.way != "sigkill":
            with suppress(Crash, Exception):
                asyncio.run(run())
            return doom.happened
        child = os.fork()
        if child == 0:
            with suppress(BaseException):
                asyncio.run(run())
            os._exit(0)
        return os.WIFSIGNALED(os.waitpid(child, 0)[1])
