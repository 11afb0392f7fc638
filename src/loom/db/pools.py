"""Holding a connection of a pool, and noticing that it is dead."""

from __future__ import annotations

import select
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from typing import Any

from psycopg import AsyncConnection
from psycopg_pool import AsyncConnectionPool

from loom.db.errors import translate

Pool = AsyncConnectionPool[AsyncConnection[tuple[Any, ...]]]


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
