"""Fixtures of the messaging tests."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable
from pathlib import Path
from uuid import UUID

import httpx
import psycopg
import pytest
from psycopg.rows import dict_row

from loom.db.database import Database
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


@pytest.fixture
async def office(db: Database, tmp_path: Path) -> AsyncIterator[Office]:
    """The worker, with nothing left to do and nothing in its outbox."""
    office = Office(db, tmp_path)
    await office.drain()
    for path in (tmp_path / "outbox").glob("*.eml"):
        path.unlink()
    yield office
    await office.push.close()
