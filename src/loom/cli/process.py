"""One process: the HTTP server, the worker, or both, in one event loop. Ends as a whole, and cleanly."""

from __future__ import annotations

import asyncio
import ctypes
import gc
import logging
import signal
import socket
import sys
from collections.abc import Awaitable, Callable, Generator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from typing import Any

import uvicorn

from loom.cli.compose import job_context
from loom.core.errors import OperatorError
from loom.core.settings import Settings
from loom.db.database import Database
from loom.db.embedded import EmbeddedServer
from loom.jobs.worker import run_worker
from loom.web.app import create_app, open_database

log = logging.getLogger("loom.process")

_GRACE_SECONDS = 5
_M_MMAP_THRESHOLD = -3


@dataclass(frozen=True, slots=True)
class Running:
    """What a part of the process may use. Setting `stop` ends the process."""

    settings: Settings
    database: Database
    stop: asyncio.Event


Part = Callable[[Running], Awaitable[None]]


class _Server(uvicorn.Server):
    """Signals are the process's business, since more than the server has to stop."""

    @contextmanager
    def capture_signals(self) -> Generator[None]:
        yield


def run(settings: Settings, conninfo: str, parts: list[Part]) -> None:
    """Opens the database and runs the parts until a signal, until one of them ends, or until one fails."""
    _give_memory_back()
    factory = uvicorn.Config(app="", log_config=None).get_loop_factory()
    with asyncio.Runner(loop_factory=factory) as runner:
        runner.run(_run(settings, conninfo, parts))


def _give_memory_back() -> None:
    """Has glibc return large blocks to the system: hashing a password takes 19 MiB, which each thread would keep."""
    if sys.platform == "linux":
        with suppress(AttributeError, OSError):  # another C library
            ctypes.CDLL(None).mallopt(_M_MMAP_THRESHOLD, 1 << 20)


async def _run(settings: Settings, conninfo: str, parts: list[Part]) -> None:
    stop = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGINT, signal.SIGTERM):
        loop.add_signal_handler(number, stop.set)

    failures: list[Exception] = []

    async def keep(part: Part, running: Running) -> None:
        try:
            await part(running)
        except Exception as failure:  # noqa: BLE001 - raised below, once the other parts have stopped cleanly
            failures.append(failure)
        finally:
            stop.set()

    async with await open_database(settings, conninfo) as database, asyncio.TaskGroup() as group:
        for part in parts:
            group.create_task(keep(part, Running(settings, database, stop)))
    if failures:
        raise failures[0]


def http(listener: socket.socket) -> Part:
    """The HTTP API on a bound socket."""

    async def end_streams(app: Any) -> None:
        await app.state.live.close()

    return asgi(listener, lambda running: create_app(running.settings, running.database), end_streams)


async def _nothing(_app: Any) -> None:
    return None


def asgi(
    listener: socket.socket, make_app: Callable[[Running], Any], farewell: Callable[[Any], Awaitable[None]] = _nothing
) -> Part:
    """An ASGI application on a bound socket. `farewell` ends what would go on for ever, such as live streams."""

    async def part(running: Running) -> None:
        app = make_app(running)
        # What is there now stays as long as the process. Looking through it for garbage, some 280,000 objects, would
        # stop every request for a fifth of a second, again and again.
        gc.freeze()
        config = uvicorn.Config(
            app,
            log_config=None,
            access_log=False,
            lifespan="on",
            server_header=False,
            forwarded_allow_ips=running.settings.trusted_proxies,
            timeout_graceful_shutdown=_GRACE_SECONDS,
        )
        server = _Server(config)
        serving = asyncio.create_task(server.serve(sockets=[listener]))
        stopping = asyncio.create_task(running.stop.wait())
        await asyncio.wait({serving, stopping}, return_when=asyncio.FIRST_COMPLETED)
        await farewell(app)
        server.should_exit = True
        stopping.cancel()
        await serving

    return part


def keep_alive(server: EmbeddedServer) -> Part:
    """Starts the embedded PostgreSQL again should it die, which the system may see to when memory runs out."""

    async def part(running: Running) -> None:
        while not running.stop.is_set():
            try:
                if server.revive():
                    log.warning("PostgreSQL had died and was started again")
            except OperatorError as exc:
                log.warning("PostgreSQL has died and does not start yet: %s", exc)
            with suppress(TimeoutError):
                await asyncio.wait_for(running.stop.wait(), 1)

    return part


async def worker(running: Running) -> None:
    """The worker."""
    async with job_context(running.settings, running.database) as context:
        await run_worker(context, running.stop)
