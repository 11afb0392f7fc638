"""What a worker can do: tasks that a job names, and loops that run as long as the worker does.

    @task("scheduling.remind", retry=Retry(attempts=5))
    async def remind(ctx: JobContext, *, session_id: str) -> None: ...

SQL puts a job into the queue with `private.enqueue('scheduling.remind', '{"session_id": "…"}')`.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from typing import Any, TypeVar

from loom.core.settings import Settings
from loom.db.database import Database

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Retry:
    """A failed job runs again after wait * 2^n seconds, `attempts` times at most in all."""

    attempts: int = 5
    wait_seconds: int = 5


@dataclass(frozen=True, slots=True)
class JobContext:
    """What a handler gets. `resources` holds what the process was composed with: a mailer, a push sender."""

    db: Database
    settings: Settings
    resources: dict[type, Any] = field(default_factory=dict[type, Any])
    job_id: int | None = None
    attempt: int = 1
    """1 for the first run."""
    last_attempt: bool = False

    def get(self, kind: type[T]) -> T:
        """The resource registered under a type, e.g. `ctx.get(Mailer)`."""
        return self.resources[kind]


Handler = Callable[..., Awaitable[None]]
Loop = Callable[[JobContext, asyncio.Event], Awaitable[None]]


@dataclass(frozen=True, slots=True)
class TaskSpec:
    """One line of the registry. `cron` (five or six fields, UTC) makes it periodic; it then gets `timestamp`."""

    name: str
    handler: Handler
    retry: Retry | None
    cron: str | None


TASKS: dict[str, TaskSpec] = {}
LOOPS: dict[str, Loop] = {}


def task(name: str, *, retry: Retry | None = None, cron: str | None = None) -> Callable[[Handler], Handler]:
    """Registers a handler under `feature.verb`. Without `retry` a failed job stays failed."""

    def register(handler: Handler) -> Handler:
        if name in TASKS and TASKS[name].handler.__qualname__ != handler.__qualname__:
            raise ValueError(f"task {name} is there twice")
        TASKS[name] = TaskSpec(name, handler, retry, cron)
        return handler

    return register


def loop(name: str) -> Callable[[Loop], Loop]:
    """Registers `async def run(ctx, stop)`: runs until `stop` is set, is started anew if it fails."""

    def register(run: Loop) -> Loop:
        LOOPS[name] = run
        return run

    return register
