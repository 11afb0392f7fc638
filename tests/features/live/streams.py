"""A client of the live stream, as a browser's EventSource is one: keeps its last id, comes back with it."""

from __future__ import annotations

import asyncio
import json
import socket
import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager, nullcontext, suppress
from dataclasses import dataclass
from typing import Any

import httpx
import uvicorn
from fastapi import FastAPI

from loom.cli.listener import bind


@dataclass(frozen=True, slots=True)
class Event:
    """One event, with the id that stood before it, and when it was heard."""

    kind: str
    data: dict[str, Any]
    id: str | None
    heard_at: float

    @property
    def number(self) -> int:
        """The event's own number in the log."""
        return int(str(self.id).rpartition("-")[2])


class Client:
    """One client. `events` is all it heard, over all its connections."""

    def __init__(self, base_url: str, headers: dict[str, str], *, last_id: str | None = None) -> None:
        self.base_url = base_url
        self.headers = headers
        self.last_id = last_id
        self.events: list[Event] = []
        self.status = 0
        self.connections = 0
        self._heard = asyncio.Condition()
        self._task: asyncio.Task[None] | None = None

    async def connect_once(self, **params: str) -> None:
        """One connection, until it ends."""
        headers = self.headers | ({"Last-Event-ID": self.last_id} if self.last_id else {})
        async with (
            # Nothing here speaks TLS, and reading the certificates for each connection would take most of the time.
            httpx.AsyncClient(base_url=self.base_url, timeout=httpx.Timeout(10.0, read=None), verify=False) as http,  # noqa: S501
            http.stream("GET", "/v1/live", headers=headers, params=params) as answer,
        ):
            self.status = answer.status_code
            self.connections += 1
            if answer.status_code != 200:
                return
            kind, data, last_id = "", "", self.last_id
            async for line in answer.aiter_lines():
                name, _, value = line.partition(": ")
                if name == "id":
                    last_id = value
                elif name == "event":
                    kind = value
                elif name == "data":
                    data = value
                elif line == "":
                    self.last_id = last_id
                    if data:
                        await self._note(Event(kind, json.loads(data), last_id, time.time()))
                    kind, data = "", ""

    async def _note(self, event: Event) -> None:
        async with self._heard:
            self.events.append(event)
            self._heard.notify_all()

    async def wait_for(self, what: Callable[[Event], bool], seconds: float = 20.0) -> Event:
        """The first event like that, heard already or to come."""
        async with asyncio.timeout(seconds), self._heard:
            while True:
                for event in self.events:
                    if what(event):
                        return event
                await self._heard.wait()

    async def kind(self, kind: str, count: int = 1, seconds: float = 20.0) -> Event:
        """The event of a kind that came as number `count`."""
        async with asyncio.timeout(seconds), self._heard:
            while len(found := [event for event in self.events if event.kind == kind]) < count:
                await self._heard.wait()
        return found[count - 1]

    def kinds(self) -> list[str]:
        """What it heard, by kind."""
        return [event.kind for event in self.events]

    async def connect(self) -> None:
        """Connects, and keeps on listening in the background; ready to hear when this returns."""
        before = len([event for event in self.events if event.kind in {"ready", "reset"}])
        self._task = asyncio.create_task(self.connect_once())
        async with asyncio.timeout(20), self._heard:
            while len([e for e in self.events if e.kind in {"ready", "reset"}]) <= before and not self._task.done():
                with suppress(TimeoutError):
                    async with asyncio.timeout(0.2):
                        await self._heard.wait()

    async def connect_once_until_ready(self, **params: str) -> None:
        """One connection, hung up as soon as the server has said where it stands."""
        task = asyncio.create_task(self.connect_once(**params))
        try:
            await self.wait_for(lambda event: event.kind in {"ready", "reset"})
        finally:
            task.cancel()
            await asyncio.gather(task, return_exceptions=True)

    async def drop(self) -> None:
        """Hangs up without a word."""
        if self._task is not None:
            self._task.cancel()
            await asyncio.gather(self._task, return_exceptions=True)
            self._task = None

    async def ended(self, seconds: float = 20.0) -> None:
        """Waits until the server has ended it."""
        assert self._task is not None
        await asyncio.wait_for(asyncio.shield(self._task), seconds)


@asynccontextmanager
async def serving(app: FastAPI, *, send_buffer: int | None = None) -> AsyncIterator[str]:
    """The application on a real socket, in this event loop; the system keeps `send_buffer` bytes for each client."""
    with bind("127.0.0.1", 0) as listener:
        if send_buffer is not None:
            listener.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, send_buffer)
        config = uvicorn.Config(app, log_config=None, access_log=False, lifespan="off", timeout_graceful_shutdown=2)
        server = uvicorn.Server(config)
        server.capture_signals = nullcontext  # type: ignore[method-assign]
        task = asyncio.create_task(server.serve(sockets=[listener]))
        try:
            yield f"http://127.0.0.1:{listener.getsockname()[1]}"
        finally:
            await app.state.live.close()
            server.should_exit = True
            await task
