"""One open stream: what is to be told to one client, and telling it."""

from __future__ import annotations

import asyncio
import json
import random
import time
from collections.abc import Awaitable, Callable
from contextlib import suppress
from typing import TYPE_CHECKING, Any
from uuid import UUID

from starlette.responses import Response
from starlette.types import Receive, Scope, Send

if TYPE_CHECKING:
    from loom.features.live.hub import LiveHub

Place = tuple[int, int]
Batch = tuple[Place, bytes, UUID | None]

MOST_WAITING = 512
"""Chunks that may wait for a client. Beyond that it is cut, and reads the rest from the database when it comes back."""
_SEND_SECONDS = 15.0
_HEARTBEAT_SECONDS = 20.0
_HEADERS = [
    (b"content-type", b"text/event-stream; charset=utf-8"),
    (b"cache-control", b"no-store"),
    # Proxies that gather answers up would hold events back.
    (b"x-accel-buffering", b"no"),
]


def chunk(kind: str, data: str | None, cursor: str | None = None) -> bytes:
    """One event as it goes over the wire. `data` is JSON on one line."""
    place = f"id: {cursor}\n" if cursor else ""
    return f"{place}event: {kind}\ndata: {data or '{}'}\n\n".encode()


def place_of(cursor: str) -> Place:
    """The place that a cursor of the database's own names."""
    _, xid, number = cursor.split("-")
    return int(xid), int(number)


class Stream:
    """What waits for one client. The hub puts in, the request's own task takes out."""

    __slots__ = ("_closed", "_waiting", "_wake", "expires", "place", "reason", "sign_in", "user_id")

    def __init__(self, user_id: UUID, expires: float, sign_in: UUID | None = None) -> None:
        self.user_id = user_id
        self.expires = expires
        self.sign_in = sign_in
        self.reason: str | None = None
        """Why it is being ended, which the client is still told."""
        self.place: Place = (0, 0)
        """What the client has; nothing up to here is told again."""
        # A list, since a deque takes 600 bytes while it is empty, which it is nearly always.
        self._waiting: list[Batch] = []
        self._wake: asyncio.Future[None] | None = None
        self._closed = False

    @property
    def closed(self) -> bool:
        """Whether it has been ended."""
        return self._closed

    @property
    def idle(self) -> bool:
        """Whether nothing waits to be told."""
        return not self._waiting

    def push(self, place: Place, text: bytes, conversation_id: UUID | None = None) -> None:
        """Tells something, soon; cuts a client that does not keep up."""
        if self.reason is not None:
            return
        if len(self._waiting) >= MOST_WAITING:
            self.close()
            return
        self._waiting.append((place, text, conversation_id))
        self._rouse()

    def forget(self, conversation_id: UUID) -> None:
        """Drops what waits about a conversation that the person has just left."""
        self._waiting = [one for one in self._waiting if one[2] != conversation_id]

    def end(self, reason: str) -> None:
        """Ends it for good, with a last word: nothing that waits is told any more."""
        self.reason = reason
        self._waiting.clear()
        self._rouse()

    def close(self) -> None:
        """Ends it: the client comes back with the cursor that it has."""
        self._closed = True
        self._waiting.clear()
        self._rouse()

    def take(self) -> bytes:
        """All that waits and is new to the client."""
        texts: list[bytes] = []
        waiting, self._waiting = self._waiting, []
        for place, text, _ in waiting:
            if place == (0, 0):
                texts.append(text)
            elif place > self.place:
                texts.append(text)
                self.place = place
        return b"".join(texts)

    async def wait(self, seconds: float) -> None:
        """Until there is something to tell, the end, or so many seconds."""
        if self._waiting or self._closed or self.reason is not None:
            return
        loop = asyncio.get_running_loop()
        self._wake = loop.create_future()
        timer = loop.call_later(seconds, self._rouse)
        try:
            await self._wake
        finally:
            timer.cancel()
            self._wake = None

    def _rouse(self) -> None:
        if self._wake is not None and not self._wake.done():
            self._wake.set_result(None)


class StreamResponse(Response):
    """The answer of GET /v1/live, as plain ASGI: a framework's streaming answer takes three times the memory."""

    def __init__(self, hub: LiveHub, stream: Stream, after: str | None) -> None:
        # Not the base class's own: that one measures a body.
        self.status_code = 200
        self.background = None
        self.raw_headers = list(_HEADERS)
        self._hub = hub
        self._stream = stream
        self._after = after

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:  # noqa: ARG002
        """Tells what the client missed, then what happens, until one side ends it."""
        stream = self._stream
        gone = asyncio.create_task(_watch(receive, stream))
        cut = False
        try:
            await send({"type": "http.response.start", "status": 200, "headers": self.raw_headers})
            # Clients that lose one server all at once must not come back all at once.
            first = f"retry: {random.randint(500, 3000)}\n\n".encode()  # noqa: S311
            await _tell(send, first)
            await self._hub.catch_up(stream, self._after, lambda text: _tell(send, text))
            await self._follow(send)
        except TimeoutError:
            cut = True  # it takes nothing: no last word would reach it either
        finally:
            stream.close()
            self._hub.detach(stream)
            gone.cancel()
            with suppress(asyncio.CancelledError):
                await gone
        if not cut:
            with suppress(TimeoutError):
                await _tell(send, b"", more=False)

    async def _follow(self, send: Send) -> None:
        stream = self._stream
        while not stream.closed:
            left = stream.expires - time.time()
            if left <= 0 and stream.reason is None:
                stream.end("expired")
            if stream.reason is not None:
                await _tell(send, chunk("end", json.dumps({"reason": stream.reason})))
                return
            await stream.wait(min(_HEARTBEAT_SECONDS, left))
            text = stream.take()
            if not text and not stream.closed:
                text = self._hub.heartbeat(stream)
            if text:
                await _tell(send, text)


async def _tell(send: Send, text: bytes, *, more: bool = True) -> None:
    message: dict[str, Any] = {"type": "http.response.body", "body": text, "more_body": more}
    async with asyncio.timeout(_SEND_SECONDS):
        await send(message)


async def _watch(receive: Callable[[], Awaitable[Any]], stream: Stream) -> None:
    while (await receive())["type"] != "http.disconnect":
        pass
    stream.close()
