"""The door to PostgreSQL: connections, and transactions that run as an actor.

A read is one round trip. The scope (role, claims, read-only) and the query travel together with one Sync, which makes
them one implicit transaction: whatever happens, role and claims are gone after it.
"""

from __future__ import annotations

from collections.abc import AsyncGenerator, Awaitable, Callable, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, LiteralString, Self, TypeVar, cast

import psycopg
from psycopg import AsyncConnection, AsyncCursor
from psycopg.rows import class_row, scalar_row, tuple_row
from psycopg_pool import AsyncConnectionPool
from pydantic import BaseModel

from loom.core.errors import AppError, NotFound
from loom.db.actor import Actor
from loom.db.calls import call_of, hot_call_of, keep_json_raw, raw_json_cursor
from loom.db.doorbell import Doorbell, Listener
from loom.db.errors import is_connection_loss, lost_to_others, translate
from loom.db.executor import Params
from loom.db.pools import Configure, Pool, held, new_pool

if TYPE_CHECKING:
    from loom.db.together import Together

M = TypeVar("M", bound=BaseModel)
T = TypeVar("T")
Row = AsyncCursor[Any]

_SCOPE: LiteralString = "select set_config('role', %s, true), set_config('request.jwt.claims', %s, true)"
_READ_SCOPE: LiteralString = _SCOPE + ", set_config('transaction_read_only', 'on', true)"
_BEGIN: LiteralString = "begin isolation level read committed read write"


@dataclass(frozen=True, slots=True)
class Limits:
    """Timeouts of every connection of the application, in milliseconds; 0 is none."""

    statement_ms: int = 15_000
    idle_in_transaction_ms: int = 15_000
    lock_ms: int = 5_000


class Database:
    """One process's connections. `reader`, `transaction`, `run`, `fetch_json` and `write_json` are the only ways in."""

    def __init__(self, pool: Pool, hot: Pool, hot_writes: Pool, conninfo: str) -> None:
        self._pool = pool
        self._hot = hot
        self._hot_writes = hot_writes
        self.conninfo = conninfo
        self.doorbell = Doorbell(self)
        self.listener = Listener(conninfo)
        self._together: dict[str, Together] = {}
        self._before_close: list[Callable[[], Awaitable[None]]] = []

    @classmethod
    async def open(
        cls,
        conninfo: str,
        *,
        min_size: int = 1,
        max_size: int = 10,
        hot_max_size: int = 4,
        timeout: float = 3.0,  # noqa: ASYNC109
        limits: Limits | None = None,
    ) -> Self:
        """Opens the pools without waiting: while PostgreSQL is away, calls answer `database_unavailable`."""
        limits = limits or Limits()

        async def configure(conn: AsyncConnection[Any]) -> None:
            await conn.execute(
                "select set_config('statement_timeout', %s, false),"
                " set_config('idle_in_transaction_session_timeout', %s, false),"
                " set_config('lock_timeout', %s, false), set_config('timezone', 'UTC', false),"
                # The default is a spinning disk's. With it, and with the few rows that the planner expects behind a
                # policy, the whole of a conversation is read and sorted for its last page.
                " set_config('random_page_cost', '1.1', false)",
                [str(limits.statement_ms), str(limits.idle_in_transaction_ms), str(limits.lock_ms)],
            )

        async def configure_hot(conn: AsyncConnection[Any]) -> None:
            await configure_hot_writes(conn)
            await conn.execute("set default_transaction_read_only = on")

        async def configure_hot_writes(conn: AsyncConnection[Any]) -> None:
            await configure(conn)
            # Hot calls keep the role for good and bring only the claims, so that one prepared call does all.
            # Without claims the policies show nothing, and allow nothing to be written.
            await conn.execute("set role authenticated")
            keep_json_raw(conn.adapters)

        def pool(low: int, high: int, setup: Configure) -> Pool:
            return new_pool(conninfo, low, high, setup, timeout)

        self = cls(
            pool(min_size, max_size, configure),
            pool(0, hot_max_size, configure_hot),
            pool(0, hot_max_size, configure_hot_writes),
            conninfo,
        )
        for opened in (self._pool, self._hot, self._hot_writes):
            await opened.open()
        return self

    def gather(self, together: Together) -> None:
        """Has calls of a function that wait at the same moment go together from now on."""
        self._together[together.function] = together
        self.before_close(together.finish)

    def before_close(self, call: Callable[[], Awaitable[None]]) -> None:
        """Has something that works with this database end before its connections do."""
        self._before_close.append(call)

    async def close(self) -> None:
        """Closes every connection."""
        for call in self._before_close:
            await call()
        await self.listener.close()
        await self.doorbell.close()
        for opened in (self._pool, self._hot, self._hot_writes):
            await opened.close()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_exc: object) -> None:
        await self.close()

    def reader(self, actor: Actor) -> Reader:
        """Read-only; each call is its own round trip and its own snapshot."""
        return Reader(self, actor)

    @asynccontextmanager
    async def transaction(self, actor: Actor) -> AsyncGenerator[Tx]:
        """BEGIN with the first statement, COMMIT on leaving, ROLLBACK on any exception."""
        async with self.connection() as conn:
            tx = Tx(conn, actor)
            try:
                yield tx
            except BaseException:
                await tx.rollback()
                raise
            await tx.commit()

    async def run(self, actor: Actor, work: Callable[[Tx], Awaitable[T]], attempts: int = 3) -> T:
        """Runs `work` in a transaction, again from the start if it lost to others (deadlock, lock wait, serialisation).

        `work` must not touch anything outside the transaction. After the last attempt: 409 `busy`.
        """

        async def once() -> T:
            async with self.transaction(actor) as tx:
                return await work(tx)

        return await _insist(once, attempts)

    async def fetch_json(self, actor: Actor, function: LiteralString, params: Sequence[object]) -> bytes | None:
        """JSON of a `*_json` function (schema-qualified name) as PostgreSQL wrote it; None for SQL null.

        For signed-in users this is one prepared call. Others take the ordinary way with the same answer.
        """
        if actor.db_role != "authenticated":
            return await self.reader(actor).fetch_raw_json(call_of(function, len(params)), params)

        async def call(conn: AsyncConnection[Any]) -> bytes | None:
            cursor = conn.cursor(row_factory=scalar_row)
            await cursor.execute(hot_call_of(function, len(params)), [actor.claims, *params], prepare=True)
            return cast("bytes | None", await cursor.fetchone())

        return await self._read(self._hot, call)

    async def write_json(
        self, actor: Actor, function: LiteralString, params: Sequence[object], attempts: int = 3
    ) -> bytes:
        """What one call of a `*_json` function wrote, as PostgreSQL says it.

        For signed-in users this is one prepared call, a transaction by itself unless others go with it, and again if it
        lost to others. Others take the ordinary way with the same answer.
        """
        if actor.db_role != "authenticated":
            return await self.run(actor, lambda tx: tx.fetch_json(function, params), attempts)
        if (together := self._together.get(function)) is not None:
            return await together.write_json(actor, params)
        return await self.write_json_alone(actor, function, params, attempts)

    async def write_json_alone(
        self, actor: Actor, function: LiteralString, params: Sequence[object], attempts: int = 3
    ) -> bytes:
        """The same for a signed-in user, whoever else writes."""

        async def once() -> bytes:
            async with held(self._hot_writes) as conn:
                try:
                    cursor = conn.cursor(row_factory=scalar_row)
                    await cursor.execute(hot_call_of(function, len(params)), [actor.claims, *params], prepare=True)
                    return cast("bytes", await cursor.fetchone())
                except psycopg.Error as exc:
                    raise translate(exc) from exc

        return await _insist(once, attempts)

    @asynccontextmanager
    async def connection(self) -> AsyncGenerator[AsyncConnection[tuple[Any, ...]]]:
        """A connection without any scope: for Tx, and for LISTEN. The login role has no rights of its own."""
        async with held(self._pool) as conn:
            yield conn

    async def read(self, call: Callable[[AsyncConnection[Any]], Awaitable[T]]) -> T:
        """Runs a read-only call, once more on another connection if the first turned out to be dead."""
        return await self._read(self._pool, call)

    async def _read(self, pool: AsyncConnectionPool[Any], call: Callable[[AsyncConnection[Any]], Awaitable[T]]) -> T:
        for again in (True, False):
            try:
                async with pool.connection() as conn:
                    return await call(conn)
            except psycopg.Error as exc:
                if not (again and is_connection_loss(exc)):
                    raise translate(exc) from exc
                # The server went away and came back, or is away: drop every dead connection at once.
                await pool.check()
        raise AssertionError("unreachable")


class Reader:
    """Executor whose every call is one read-only round trip as the actor."""

    def __init__(self, database: Database, actor: Actor) -> None:
        self._database = database
        self.actor = actor

    async def _run(self, query: LiteralString, params: Any, factory: Any, take: Callable[[Row], Awaitable[T]]) -> T:
        async def call(conn: AsyncConnection[Any]) -> T:
            async with conn.pipeline():
                await conn.execute(_READ_SCOPE, [self.actor.db_role, self.actor.claims], prepare=True)
                cursor = conn.cursor(row_factory=factory)
                await cursor.execute(query, params)
            return await take(cursor)

        return await self._database.read(call)

    async def fetch_all(self, query: LiteralString, params: Params, row: type[M]) -> list[M]:
        """All rows."""
        return await self._run(query, params, class_row(row), _all)

    async def find_one(self, query: LiteralString, params: Params, row: type[M]) -> M | None:
        """The first row or None."""
        return await self._run(query, params, class_row(row), _first)

    async def fetch_one(self, query: LiteralString, params: Params, row: type[M]) -> M:
        """The first row; NotFound when there is none."""
        return _found(await self.find_one(query, params, row))

    async def fetch_value(self, query: LiteralString, params: Params) -> Any:
        """The first column of the first row; None when there is no row."""
        return await self._run(query, params, scalar_row, _first)

    async def execute(self, query: LiteralString, params: Params) -> int:
        """Rows that the query found; a write is refused by PostgreSQL."""
        return await self._run(query, params, tuple_row, _count)

    async def fetch_raw_json(self, query: LiteralString, params: Sequence[object]) -> bytes | None:
        """The one JSON value as bytes."""

        async def call(conn: AsyncConnection[Any]) -> bytes | None:
            async with conn.pipeline():
                await conn.execute(_READ_SCOPE, [self.actor.db_role, self.actor.claims], prepare=True)
                cursor = raw_json_cursor(conn)
                await cursor.execute(query, params)
            return cast("bytes | None", await cursor.fetchone())

        return await self._database.read(call)


class Tx:
    """Executor inside one transaction. The first statement carries BEGIN and the scope with it."""

    def __init__(self, conn: AsyncConnection[Any], actor: Actor) -> None:
        self._conn = conn
        self.actor = actor
        self._begun = False

    async def _run(self, query: LiteralString, params: Any, factory: Any, take: Callable[[Row], Awaitable[T]]) -> T:
        cursor = self._conn.cursor(row_factory=factory)
        try:
            if self._begun:
                await cursor.execute(query, params)
            else:
                self._begun = True
                async with self._conn.pipeline():
                    await self._conn.execute(_BEGIN)
                    await self._conn.execute(_SCOPE, [self.actor.db_role, self.actor.claims], prepare=True)
                    await cursor.execute(query, params)
            return await take(cursor)
        except psycopg.Error as exc:
            raise translate(exc) from exc

    async def fetch_all(self, query: LiteralString, params: Params, row: type[M]) -> list[M]:
        """All rows."""
        return await self._run(query, params, class_row(row), _all)

    async def find_one(self, query: LiteralString, params: Params, row: type[M]) -> M | None:
        """The first row or None."""
        return await self._run(query, params, class_row(row), _first)

    async def fetch_one(self, query: LiteralString, params: Params, row: type[M]) -> M:
        """The first row; NotFound when there is none."""
        return _found(await self.find_one(query, params, row))

    async def fetch_value(self, query: LiteralString, params: Params) -> Any:
        """The first column of the first row; None when there is no row."""
        return await self._run(query, params, scalar_row, _first)

    async def fetch_json(self, function: LiteralString, params: Sequence[object]) -> bytes:
        """JSON of a `*_json` function (schema-qualified name)."""
        text: LiteralString = call_of(function, len(params)) + "::text"
        return str(await self._run(text, params, scalar_row, _first)).encode()

    async def execute(self, query: LiteralString, params: Params) -> int:
        """Rows affected."""
        return await self._run(query, params, tuple_row, _count)

    @asynccontextmanager
    async def savepoint(self) -> AsyncGenerator[None]:
        """What fails inside is undone by itself; the transaction can go on if the error is caught outside."""
        await self.execute("savepoint loom", {})
        try:
            yield
        except BaseException:
            await self._conn.execute("rollback to savepoint loom; release savepoint loom")
            raise
        await self.execute("release savepoint loom", {})

    async def commit(self) -> None:
        """Ends the transaction; deferred constraints speak up here."""
        try:
            if self._conn.info.transaction_status == psycopg.pq.TransactionStatus.INERROR:
                await self._conn.rollback()
                raise RuntimeError("an error inside the transaction was swallowed; use savepoint()")
            await self._conn.commit()
        except psycopg.Error as exc:
            raise translate(exc) from exc

    async def rollback(self) -> None:
        """Undoes everything. A lost connection has done so already."""
        if not self._conn.closed:
            try:
                await self._conn.rollback()
            except psycopg.Error:
                await self._conn.close()


async def _insist(once: Callable[[], Awaitable[T]], attempts: int) -> T:
    """Once more, so many times at most, after losing to others."""
    for attempt in range(1, attempts + 1):
        try:
            return await once()
        except AppError as error:
            if attempt == attempts or not lost_to_others(error):
                raise
    raise AssertionError("unreachable")


def _found(row: M | None) -> M:
    if row is None:
        raise NotFound
    return row


async def _all(cursor: Row) -> Any:
    return await cursor.fetchall()


async def _first(cursor: Row) -> Any:
    return await cursor.fetchone()


async def _count(cursor: Row) -> int:
    return cursor.rowcount
