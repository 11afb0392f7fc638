"""A process's one reader of the log of live events, and the streams that it serves.

Places in the log only grow. A stream is entered at the place where the reader stands; the database tells it what lies
between its own cursor and that place, and the reader tells it what comes after: nothing twice, nothing left out.
"""

from __future__ import annotations

import asyncio
import json
import logging
from collections.abc import Awaitable, Callable
from uuid import UUID

from loom.core.errors import AppError
from loom.db.actor import Actor
from loom.db.database import Database, Tx
from loom.db.doorbell import CHANGES, Ear
from loom.features.live import queries
from loom.features.live.schemas import LogRow, Opened
from loom.features.live.seal import Seal
from loom.features.live.stream import Place, Stream, chunk, place_of
from loom.features.live.typing_board import TypingBoard

log = logging.getLogger("loom.live")

STREAMS_OF_ONE = 20
_SERVICE = Actor.service("follow the log of live events")
_BATCH = 500
_PAGES = 20
_POLL_SECONDS = 1.0
_FIRST_LOOK, _LONGEST_LOOK = 0.002, 0.25
_CATCHING_UP = 4


class LiveHub:
    """Starts with the first stream, and ends before its database does."""

    def __init__(self, database: Database, most_streams: int) -> None:
        self._database = database
        self._most = most_streams
        self._streams: dict[bytes, list[Stream]] = {}
        self._count = 0
        self._place: Place = (0, 0)
        self._cursor = ""
        self._epoch: str = ""
        self._seal: Seal | None = None
        self._ready = asyncio.Event()
        self._task: asyncio.Task[None] | None = None
        self._closed = False
        # Thousands may come back at once: they must not take every connection from everybody else.
        self._catching_up = asyncio.Semaphore(_CATCHING_UP)
        self.typing = TypingBoard(database, self)
        database.before_close(self.close)

    @property
    def streams(self) -> int:
        """How many are open."""
        return self._count

    async def close(self) -> None:
        """Ends every stream; clients go to another process, with the cursor that they have."""
        self._closed = True
        for stream in [one for streams in self._streams.values() for one in streams]:
            stream.close()
        task, self._task = self._task, None
        if task is not None:
            task.cancel()
            await asyncio.gather(task, return_exceptions=True)
        await self.typing.close()

    async def seal(self) -> Seal:
        """The installation's key."""
        if self._seal is None:
            opened = await self._open()
            self._seal = Seal(opened.key)
        return self._seal

    def start(self) -> None:
        """Follows the log from now on."""
        if self._task is None and not self._closed:
            self._task = asyncio.get_running_loop().create_task(self._keep())

    def attach(self, user_id: UUID, expires: float, sign_in: UUID | None) -> Stream:
        """A new stream of a person, by a sign-in of theirs. Raises 429 when that person has many, 503 when all have."""
        mine = self._streams.get(user_id.bytes, ())
        if len(mine) >= STREAMS_OF_ONE:
            detail = f"You have {len(mine)} streams open here."
            raise AppError("too_many_streams", 429, detail, "Share one stream among tabs.", {"retry_after": 30})
        if self._count >= self._most or self._closed:
            raise AppError("too_many_streams", 503, "This server holds no more streams.", "Try again shortly.")
        stream = Stream(user_id, expires, sign_in)
        self._streams.setdefault(user_id.bytes, []).append(stream)
        self._count += 1
        self.start()
        return stream

    def detach(self, stream: Stream) -> None:
        """The client has gone, or was cut."""
        mine = self._streams.get(stream.user_id.bytes, [])
        if stream in mine:
            mine.remove(stream)
            self._count -= 1
            if not mine:
                del self._streams[stream.user_id.bytes]

    async def catch_up(self, stream: Stream, after: str | None, tell: Callable[[bytes], Awaitable[None]]) -> None:
        """Tells what the person may see between a cursor and where the reader stands, read under the policies."""
        await self._ready.wait()
        until = self._cursor
        stream.place = self._place
        reader = self._database.reader(Actor.user(stream.user_id))
        for _ in range(_PAGES):
            async with self._catching_up:
                said = await queries.live_since(reader, after, until, _BATCH, stream.sign_in)
            if stream.closed or stream.reason is not None:
                return
            if not said:
                stream.close()  # nobody, or nobody any more
                return
            *events, last = said
            text = b"".join(chunk(one.kind, one.data, one.cursor) for one in events)
            if last.kind != "more":
                stream.place = place_of(last.cursor)
                await tell(text + chunk(last.kind, None, last.cursor))
                return
            await tell(text)
            after = last.cursor
        # So much that reading everything anew is the shorter way.
        await tell(chunk("reset", None, until))

    def heartbeat(self, stream: Stream) -> bytes:
        """Keeps the connection alive, and the client's cursor young: a browser takes an id without data in silence."""
        if stream.idle and self._ready.is_set() and self._place > stream.place:
            stream.place = self._place
            return f"id: {self._cursor}\n\n".encode()
        return b":\n\n"

    def tell(self, readers: bytes, place: Place, text: bytes, conversation_id: UUID | None = None) -> None:
        """Hands an event to the streams of those whom the database named, and to nobody else."""
        streams = self._streams
        for at in range(0, len(readers), 16):
            for stream in streams.get(readers[at : at + 16], ()):
                stream.push(place, text, conversation_id)

    async def _open(self) -> Opened:
        async def begin(tx: Tx) -> Opened:
            return await queries.open_live(tx)

        return await self._database.run(_SERVICE, begin)

    async def _keep(self) -> None:
        pause = 0.1
        while True:
            try:
                await self._begin()
                async with (
                    self._database.listener.hear(CHANGES) as bell,
                    self.typing.hearing(),
                ):
                    pause = 0.1
                    await self._follow(bell)
            except AppError as error:
                # The database is away. Streams stay open; the reader goes on from where it was.
                log.debug("live events wait for the database: %s", error.code)
            except Exception:
                log.exception("live events stopped")
            await asyncio.sleep(pause)
            pause = min(pause * 2, 2.0)

    async def _begin(self) -> None:
        opened = await self._open()
        self._seal = Seal(opened.key)
        if opened.epoch == self._epoch:
            return
        # The first time; or another server answers now, and places of the old one mean nothing to it.
        renewed = bool(self._epoch)
        self._epoch = opened.epoch
        self._place, self._cursor = (opened.xid, opened.id), f"{opened.epoch}-{opened.xid}-{opened.id}"
        self._ready.set()
        if renewed:
            log.warning("the log of live events is another one now: every stream starts anew")
            for stream in [one for streams in self._streams.values() for one in streams]:
                stream.close()

    async def _follow(self, bell: Ear) -> None:
        look = _FIRST_LOOK
        while True:
            before = self._place
            waiting = await self.read_once()
            if self._place != before:
                look = _FIRST_LOOK
            if waiting:
                # Committed, but an older transaction is still open: nobody rings when that one ends without an event.
                # The longer it stays open, the less often it is looked after.
                await bell.wait(look)
                look = min(look * 2, _LONGEST_LOOK)
            else:
                await bell.wait(_POLL_SECONDS)

    async def read_once(self) -> bool:
        """Hands out what is new; whether there is more that may be read soon."""
        rows = await queries.read_live(self._database.reader(_SERVICE), self._place, _BATCH)
        *events, last = rows
        for event in events:
            self._hand_out(event)
        self._place, self._cursor = (last.xid, last.id), last.cursor
        return bool(last.waiting)

    def _hand_out(self, event: LogRow) -> None:
        readers = event.readers
        if not readers or event.kind is None:
            return
        place = (event.xid, event.id)
        conversation_id = None
        if event.kind == "conversation.left":
            left = UUID(json.loads(event.data or "{}")["id"])
            for stream in self._streams.get(readers, ()):
                stream.forget(left)
        elif event.kind == "sign_in.ended":
            ended = UUID(json.loads(event.data or "{}")["id"])
            for stream in self._streams.get(readers, ()):
                if stream.sign_in == ended:
                    stream.end("signed_out")
        elif event.conversation_id is not None:
            conversation_id = event.conversation_id
        self.tell(readers, place, chunk(event.kind, event.data, event.cursor), conversation_id)
