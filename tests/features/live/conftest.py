"""Fixtures of the live tests."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable
from uuid import UUID

import psycopg
import pytest
from fastapi import FastAPI
from psycopg.rows import dict_row

from loom.db.doorbell import CHANGES
from tests.features.live.streams import Client, serving
from tests.features.messaging.world import World, make_world
from tests.support.acting import AsUser

Bearer = Callable[[UUID | str], dict[str, str]]
Listen = Callable[..., Client]
Ring = Callable[[], None]


@pytest.fixture(scope="module")
def world(database_url: str, as_user: AsUser) -> World:
    """The practice, once per module."""
    with psycopg.connect(database_url, autocommit=True, row_factory=dict_row) as owner:
        return make_world(owner, as_user)


@pytest.fixture
async def server(app: FastAPI) -> AsyncIterator[str]:
    """The application's address."""
    async with serving(app) as address:
        yield address


@pytest.fixture
def ring(app: FastAPI) -> Ring:
    """Rings as a request would that has changed something; else it takes a second until somebody looks."""
    return lambda: app.state.services.database.doorbell.ring(CHANGES)


@pytest.fixture
async def listen(server: str, bearer: Bearer) -> AsyncIterator[Listen]:
    """A client of a person: `listen(world.dana)`, not connected yet."""
    made: list[Client] = []

    def make(person: UUID, **more: str) -> Client:
        client = Client(server, bearer(person), **more)
        made.append(client)
        return client

    yield make
    for client in made:
        await client.drop()
