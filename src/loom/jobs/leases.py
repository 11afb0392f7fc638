"""A loop over a queue of leases: takes what is due and has it carried out. What a dead worker held, the next takes."""

from __future__ import annotations

import asyncio
import logging
import random
from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Generic, LiteralString, TypeVar

from loom.core.errors import AppError
from loom.db.database import Database

log = logging.getLogger("loom.leases")

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Pace:
    """How much at once, how long a lease holds, how often and how soon again. Times are in seconds."""

    batch: int = 10
    lease: float = 120.0
    # A call outside takes at most this long; nothing is begun that could outlive its lease.
    longest_call: float = 45.0
    poll: float = 1.0
    attempts: int = 12
    first_delay: float = 5.0
    longest_delay: float = 1800.0

    def delay(self, attempt: int, asked: float | None) -> float:
        """Twice as long after each attempt, give or take a fifth, so that a crowd does not come back at once."""
        doubled = min(self.first_delay * 2 ** (attempt - 1), self.longest_delay) * random.uniform(0.8, 1.2)  # noqa: S311
        return max(doubled, min(asked or 0.0, 24 * 3600.0))


class LeaseLoop(ABC, Generic[T]):
    """One process's share of the work. Several may run side by side."""

    channel: LiteralString

    def __init__(self, database: Database, pace: Pace | None = None) -> None:
        self.database = database
        self.pace = pace or Pace()

    @abstractmethod
    async def lease(self) -> Sequence[T]:
        """Takes what is due, in a transaction of its own."""

    @abstractmethod
    async def carry_out(self, lease: T) -> None:
        """Sends one and records what came of it."""

    async def run(self, stop: asyncio.Event) -> None:
        """Works until `stop` is set, woken by the doorbell or, at the latest, after a second."""
        async with self.database.listener.hear(self.channel) as ear:
            while not stop.is_set():
                if await self.work_once() == 0 and not stop.is_set():
                    await ear.wait(self.pace.poll)

    async def work_once(self) -> int:
        """Leases one batch and carries it out; returns how many it held."""
        leases = await self.lease()
        async with asyncio.TaskGroup() as group:
            for one in leases:
                group.create_task(self._safely(one))
        return len(leases)

    async def _safely(self, lease: T) -> None:
        try:
            await self.carry_out(lease)
        except AppError as error:
            # The database is away or busy: the lease runs out and somebody takes it up again.
            log.warning("%s waits for the database: %s", lease, error.code)
        except Exception:
            # What nobody foresaw must not take the rest of the batch with it. The lease runs out, and the attempts do.
            log.exception("%s failed", lease)
