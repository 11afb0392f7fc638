"""Who is writing just now: in the memory of each process, told from one to the others by NOTIFY, in no table."""

from __future__ import annotations

import asyncio
import json
import time
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, LiteralString
from uuid import UUID

from loom.db.actor import Actor
from loom.db.database import Database
from loom.db.doorbell import Ear
from loom.features.live import queries
from loom.features.live.seal import MOST_IN_A_NOTICE, Typed
from loom.features.live.stream import chunk

if TYPE_CHECKING:
    from loom.features.live.hub import LiveHub

CHANNEL: LiteralString = "loom_typing"
LASTS_SECONDS = 10.0
_AGAIN_SECONDS = 3.0
_GATHER_SECONDS = 0.05
_SERVICE = Actor.service("say who may know who is writing")


class TypingBoard:
    """What this process knows of who writes where."""

    def __init__(self, database: Database, hub: LiveHub) -> None:
        self._database = database
        self._hub = hub
        self._until: dict[tuple[UUID, UUID], float] = {}
        self._told: dict[tuple[UUID, UUID], float] = {}
        self._to_tell: list[Typed] = []
        self._teller: asyncio.Task[None] | None = None

    def typists(self, conversation_id: UUID) -> dict[UUID, float]:
        """Who writes in a conversation, each until when (seconds since 1970)."""
        now = time.time()
        return {
            person: until for (place, person), until in self._until.items() if place == conversation_id and until > now
        }

    def say(self, conversation_id: UUID, user_id: UUID, *, writes: bool) -> None:
        """Tells all processes, this one too, soon. A repetition within some seconds is no news."""
        key, now = (conversation_id, user_id), time.time()
        if writes and now - self._told.get(key, 0.0) < _AGAIN_SECONDS:
            return
        if writes:
            self._told[key] = now
        else:
            self._told.pop(key, None)
        self._note(conversation_id, user_id, writes=writes)
        self._to_tell.append((conversation_id, user_id, writes))
        if self._teller is None:
            self._teller = asyncio.get_running_loop().create_task(self._tell())

    @asynccontextmanager
    async def hearing(self) -> AsyncGenerator[None]:
        """Hears what the processes tell, as long as it lasts."""
        async with self._database.listener.hear(CHANNEL) as ear:
            task = asyncio.get_running_loop().create_task(self._hear(ear))
            try:
                yield
            finally:
                task.cancel()
                await asyncio.gather(task, return_exceptions=True)

    async def close(self) -> None:
        """Lets the last word out."""
        if self._teller is not None:
            await asyncio.gather(self._teller, return_exceptions=True)

    def _note(self, conversation_id: UUID, user_id: UUID, *, writes: bool) -> None:
        if writes:
            self._until[conversation_id, user_id] = time.time() + LASTS_SECONDS
        else:
            self._until.pop((conversation_id, user_id), None)

    async def _tell(self) -> None:
        await asyncio.sleep(_GATHER_SECONDS)
        typed, self._to_tell, self._teller = self._to_tell, [], None
        seal = await self._hub.seal()
        for at in range(0, len(typed), MOST_IN_A_NOTICE):
            await self._database.doorbell.say(CHANNEL, seal.typing(typed[at : at + MOST_IN_A_NOTICE]))

    async def _hear(self, ear: Ear) -> None:
        while True:
            await ear.wait(60.0)
            seal = await self._hub.seal()
            typed: dict[tuple[UUID, UUID], bool] = {}
            while ear.said:
                typed.update(
                    ((place, person), writes) for place, person, writes in seal.read_typing(ear.said.popleft())
                )
            self._forget_old()
            if typed:
                await self._show(typed)

    def _forget_old(self) -> None:
        now = time.time()
        for known, lasts in ((self._until, 0.0), (self._told, _AGAIN_SECONDS)):
            for key in [key for key, moment in known.items() if moment + lasts < now]:
                del known[key]

    async def _show(self, typed: dict[tuple[UUID, UUID], bool]) -> None:
        for said in await queries.typing_readers(self._database.reader(_SERVICE), list(typed)):
            writes = typed[said.conversation_id, said.user_id]
            self._note(said.conversation_id, said.user_id, writes=writes)
            data = {"conversation_id": str(said.conversation_id), "user_id": str(said.user_id), "typing": writes}
            self._hub.tell(said.readers, (0, 0), chunk("typing", json.dumps(data)), said.conversation_id)
