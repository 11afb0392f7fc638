"""Fixtures of the messaging tests."""

from __future__ import annotations

import socket
import threading
from collections.abc import AsyncIterator, Callable, Iterator
from pathlib import Path
from uuid import UUID

import httpx
import psycopg
import pytest
import uvicorn
from psycopg.rows import dict_row

from loom.db.database import Database
from loom.providers.push.sink import PushSink
from tests.features.messaging.callers import Caller, Callers
from tests.features.messaging.office import Office
from tests.features.messaging.world import World, make_world
from tests.support.acting import AsUser


@pytest.fixture(scope="module")
def world(database_url: str, as_user: AsUser) -> World:
    """The practice, once per module."""
    with psycopg.connect(database_url, autocommit=True, row_factory=dict_row) as owner:
        return make_world(owner, as_user)


@pytest.fixture
def caller(client: httpx.AsyncClient, bearer: Callable[[UUID | str], dict[str, str]]) -> Callers:
    """Somebody at the HTTP API: `await caller(person)("GET", "/conversations")`."""
    return lambda person: Caller(client, bearer(person))


@pytest.fixture(scope="module")
def sink() -> Iterator[PushSink]:
    """A push service."""
    listening = socket.create_server(("127.0.0.1", 0))
    app = PushSink(f"http://127.0.0.1:{listening.getsockname()[1]}")
    server = uvicorn.Server(uvicorn.Config(app, log_level="warning"))
    thread = threading.Thread(target=server.run, args=([listening],))
    thread.start()
    yield app
    server.should_exit = True
    thread.join()
    listening.close()


@pytest.fixture
async def office(db: Database, tmp_path: Path) -> AsyncIterator[Office]:
    """The worker, with nothing left to do and nothing in its outbox."""
    office = Office(db, tmp_path)
    await office.drain()
    for path in (tmp_path / "outbox").glob("*.eml"):
        path.unlink()
    yield office
    await office.push.close()
