"""Writes that wait at the same moment go to PostgreSQL together, as commits go to its disk.

One at a time, each would pay a transaction, a flush and a turn on a connection. While one is under way in a process,
whatever comes waits for it to end, and then goes as one call in one transaction. Each still acts as its own user and
has its own outcome: what can't be done in company is left out of it, and done alone.
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import LiteralString, cast

from loom.core.errors import AppError, DatabaseUnavailable
from loom.db.actor import Actor
from loom.db.database import Database, Tx

_MOST = 32
_PATIENCE_SECONDS = 0.05


@dataclass(frozen=True, slots=True)
class _Call:
    actor: Actor
    params: Sequence[object]
    answer: asyncio.Future[bytes]


class Together:
    """Calls of one `*_json` function that writes.

    `query` takes several of them as `%(calls)s`, JSON objects of the claims and the parameters by `names`, as the
    service, and gives an array of answers: null for what has to be called alone.
    """

    def __init__(
        self, database: Database, function: LiteralString, names: Sequence[str], query: LiteralString, reason: str
    ) -> None:
        self._database = database
        self.function: LiteralString = function
        self._names = names
        self._query: LiteralString = query
        self._service = Actor.service(reason)
        self._under_way = False
        self._waiting: list[_Call] = []
        self._running: set[asyncio.Task[None]] = set()

    async def write_json(self, actor: Actor, params: Sequence[object]) -> bytes:
        """What the call wrote, after its commit. Raises what the call would raise alone."""
        if self._under_way:
            call = _Call(actor, params, asyncio.get_running_loop().create_future())
            self._waiting.append(call)
            return await call.answer
        turn = self._begin()
        try:
            return await self._alone(actor, params)
        finally:
            turn.end()

    async def finish(self) -> None:
        """Waits for what is under way."""
        while self._running:
            await asyncio.wait(self._running)

    async def _alone(self, actor: Actor, params: Sequence[object]) -> bytes:
        return await self._database.write_json_alone(actor, self.function, params)

    def _begin(self) -> _Turn:
        self._under_way = True
        return _Turn(self._next)

    def _next(self) -> None:
        self._under_way = False
        waiting = [call for call in self._waiting if not call.answer.done()]
        calls, self._waiting = waiting[:_MOST], waiting[_MOST:]
        if calls:
            task = asyncio.get_running_loop().create_task(self._run(calls, self._begin()))
            self._running.add(task)
            task.add_done_callback(self._running.discard)

    async def _run(self, calls: list[_Call], turn: _Turn) -> None:
        try:
            if len(calls) == 1:
                await self._settle_alone(calls[0])
                return
            answers = await self._in_company(calls)
        except DatabaseUnavailable as away:
            # Whether it was committed nobody knows, as with a call made alone: the callers ask again.
            for call in calls:
                _settle(call, away)
            return
        except AppError:
            # Nothing was committed. Alone, each is told what is wrong with it.
            answers = [None] * len(calls)
        except BaseException as broken:
            for call in calls:
                _settle(call, broken)
            raise
        finally:
            turn.end()
        alone = [call for call, answer in zip(calls, answers, strict=True) if answer is None]
        for call, answer in zip(calls, answers, strict=True):
            if answer is not None:
                _settle(call, answer.encode())
        await asyncio.gather(*(self._settle_alone(call) for call in alone))

    async def _in_company(self, calls: list[_Call]) -> list[str | None]:
        asked = json.dumps(
            [{"claims": call.actor.claims, **dict(zip(self._names, call.params, strict=True))} for call in calls],
            default=str,
        )

        async def work(tx: Tx) -> list[str | None]:
            return cast("list[str | None]", await tx.fetch_value(self._query, {"calls": asked}))

        return await self._database.run(self._service, work)

    async def _settle_alone(self, call: _Call) -> None:
        try:
            _settle(call, await self._alone(call.actor, call.params))
        except BaseException as refused:
            _settle(call, refused)
            if not isinstance(refused, AppError):
                raise


class _Turn:
    """While it lasts the others wait. Who takes long, waiting for a lock perhaps, has had their turn after a while."""

    def __init__(self, ended: Callable[[], None]) -> None:
        self._ended: Callable[[], None] | None = ended
        self._timer = asyncio.get_running_loop().call_later(_PATIENCE_SECONDS, self.end)

    def end(self) -> None:
        """Lets the others go, once."""
        ended, self._ended = self._ended, None
        if ended is not None:
            self._timer.cancel()
            ended()


def _settle(call: _Call, answer: bytes | BaseException) -> None:
    if call.answer.done():
        return  # the caller has gone
    if isinstance(answer, bytes):
        call.answer.set_result(answer)
    else:
        call.answer.set_exception(answer)
