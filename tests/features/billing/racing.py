"""Many hands that let go at one moment, each with a connection that is open already."""

from __future__ import annotations

import threading
from collections.abc import Callable, Generator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager
from typing import Any
from uuid import UUID

import psycopg

from tests.support.acting import AsRole, standing


class Hand:
    """One of them: acts as somebody on a connection of its own."""

    def __init__(self, door: AsRole, index: int) -> None:
        self._door = door
        self.index = index

    def serving(self) -> Any:
        return self._door("service_role", reason="race")

    def being(self, user: UUID) -> Any:
        return self._door("authenticated", sub=str(user))


class Hands:
    """All of them."""

    def __init__(self, doors: list[AsRole], pool: ThreadPoolExecutor) -> None:
        self._hands = [Hand(door, index) for index, door in enumerate(doors)]
        self._pool = pool
        self._start = threading.Barrier(len(doors))
        self.count = len(doors)

    def at_once(self, work: Callable[[Hand], Any]) -> list[Any]:
        """What each came to; a refusal is a result, anything else that goes wrong is raised."""

        def run(hand: Hand) -> Any:
            self._start.wait()
            try:
                return work(hand)
            except psycopg.Error as refused:
                if refused.diag.constraint_name is None:
                    raise
                return refused

        return list(self._pool.map(run, self._hands))


@contextmanager
def hands(conninfo: str, count: int) -> Generator[Hands]:
    """So many, until the end of the block."""
    with ExitStack() as stack:
        doors = [stack.enter_context(standing(conninfo)) for _ in range(count)]
        yield Hands(doors, stack.enter_context(ThreadPoolExecutor(count)))
