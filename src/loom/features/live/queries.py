"""What live updates ask of the database, as typed functions."""

from __future__ import annotations

from collections.abc import Sequence
from uuid import UUID

from loom.core.errors import NotFound
from loom.db.executor import Executor
from loom.db.sql import load_queries
from loom.features.live.schemas import LogRow, Opened, Person, Said, TypingFor

SQL = load_queries("loom.features.live")


async def open_live(q: Executor) -> Opened:
    """Begins to read the log, as the service."""
    return await q.fetch_one(SQL["open_live"], {}, Opened)


async def read_live(q: Executor, place: tuple[int, int], limit: int) -> list[LogRow]:
    """What comes after a place, for everybody, as the service."""
    params = {"xid": str(place[0]), "id": place[1], "limit": limit}
    return await q.fetch_all(SQL["read_live"], params, LogRow)


async def live_since(q: Executor, after: str | None, until: str, limit: int, sign_in: UUID | None) -> list[Said]:
    """What the caller may see between two cursors.

    Nothing at all where the caller is nobody (any more), or has ended that sign-in.
    """
    params = {"after": after, "until": until, "limit": limit, "sign_in": sign_in}
    return await q.fetch_all(SQL["live_since"], params, Said)


async def prune_live(q: Executor, days: int) -> int:
    """Throws away what is older; how many rows."""
    return int(await q.fetch_value(SQL["prune_live"], {"days": days}))


async def typing_readers(q: Executor, said: Sequence[tuple[UUID, UUID]]) -> list[TypingFor]:
    """For each (conversation, person) who may know that they write, as the service."""
    params = {"conversation_ids": [one for one, _ in said], "user_ids": [person for _, person in said]}
    return await q.fetch_all(SQL["typing_readers"], params, TypingFor)


async def check_may_type(q: Executor, conversation_id: UUID) -> None:
    """NotFound unless the caller takes part."""
    if not await q.fetch_value(SQL["may_type"], {"conversation_id": conversation_id}):
        raise NotFound


async def list_people(q: Executor, conversation_id: UUID) -> list[Person]:
    """Who takes part; NotFound where the caller may not know."""
    return await q.fetch_all(SQL["list_people"], {"conversation_id": conversation_id}, Person)
