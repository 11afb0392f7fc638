"""Pools: holding a connection of one, and noticing that it is dead."""

from __future__ import annotations

import select
from collections.abc import AsyncGenerator, Awaitable, Callable
from contextlib import asynccontextmanager
from typing import Any

import psycopg
from psycopg import AsyncConnection
from psycopg_pool import AsyncConnectionPool

from loom.db.errors import translate

Pool = AsyncConnectionPool[AsyncConnection[tuple[Any, ...]]]
Configure = Callable[[AsyncConnection[Any]], Awaitable[None]]


def new_pool(conninfo: str, low: int, high: int, setup: Configure, timeout: float) -> Pool:
    """A pool that is not open yet."""

    async def alive(conn: AsyncConnection[Any]) -> None:
        try:
            await check(conn)
        except psycopg.Error:
            # Where one has died the others have: they go at once. Finding them one by one, the pool would wait a second
            # after the second of them, two after the third, and then give up.
            await made.check()
            raise

    made: Pool = AsyncConnectionPool(
        conninfo,
        kwargs={"autocommit": True, "application_name": "loom"},
        min_size=low,
        max_size=high,
        configure=setup,
        check=alive,
        timeout=timeout,
        # After this long without success the pool stops trying by itself; the next request tries anew, so recovery
        # never waits for a long back-off.
        reconnect_timeout=2.0,
        open=False,
    )
    return made


async def check(conn: AsyncConnection[Any]) -> None:
    """Raises when the server has hung up, at the cost of a system call instead of a round trip."""
    poll = select.poll()
    poll.register(conn.fileno(), select.POLLIN)
    if poll.poll(0):  # an idle connection has nothing to say but goodbye, or a notice
        await conn.execute("select 1")


@asynccontextmanager
async def held(
    pool: Pool,
) -> AsyncGenerator[AsyncConnection[tuple[Any, ...]]]:
    """A connection of a pool; AppError where there is none to be had."""
    try:
        context = pool.connection()
        conn = await context.__aenter__()
    except Exception as exc:
        raise translate(exc) from exc
    try:
        yield conn
    except BaseException as exc:
        if not await context.__aexit__(type(exc), exc, exc.__traceback__):
            raise
    else:
        await context.__aexit__(None, None, None)
