"""A live stream that somebody of the story has open."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any

import httpx

from loom.cli.demo.actors import Person, StepFailed

_READY_SECONDS = 20.0


@dataclass(slots=True)
class Heard:
    """What it said so far: kind and data of each event, and the place to come back to."""

    events: list[tuple[str, dict[str, Any]]] = field(default_factory=list[tuple[str, dict[str, Any]]])
    last_id: str | None = None

    def message(self, message_id: str) -> dict[str, Any] | None:
        """A message that it told."""
        return next(
            (data for kind, data in self.events if kind == "message.created" and data["id"] == message_id), None
        )


@asynccontextmanager
async def listening(person: Person, after: str | None = None) -> AsyncGenerator[Heard]:
    """A person's stream, from the moment that it is ready; what was missed since `after` has come by then."""
    heard = Heard()
    ready = asyncio.Event()
    following = asyncio.create_task(_follow(person, after, heard, ready))
    waiting = asyncio.create_task(ready.wait())
    try:
        await asyncio.wait({following, waiting}, timeout=_READY_SECONDS, return_when=asyncio.FIRST_COMPLETED)
        if not ready.is_set():
            raise StepFailed(f"{person.name}'s live stream did not open")
        yield heard
    finally:
        for task in (following, waiting):
            task.cancel()
        await asyncio.gather(following, waiting, return_exceptions=True)


async def _follow(person: Person, after: str | None, heard: Heard, ready: asyncio.Event) -> None:
    headers = {"Authorization": f"Bearer {person.token}"} | ({"Last-Event-ID": after} if after else {})
    async with person.http.stream("GET", "/v1/live", headers=headers, timeout=httpx.Timeout(30, read=None)) as answer:
        kind = ""
        async for line in answer.aiter_lines():
            name, _, value = line.partition(": ")
            if name == "event":
                kind = value
            elif name == "id":
                heard.last_id = value
            elif name == "data":
                heard.events.append((kind, json.loads(value)))
                if kind in {"ready", "reset"}:
                    ready.set()
