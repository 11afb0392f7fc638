"""A served Loom over a sample practice, and who knocks at it."""

from __future__ import annotations

import asyncio
import socket
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any
from uuid import UUID, uuid4

import psycopg
import pytest
import uvicorn
from fastapi import FastAPI

from loom.cli.demo import people
from loom.cli.demo.seed import seed
from loom.cli.sandbox import build, sandbox_url
from loom.core.settings import Settings
from loom.db.database import Database
from loom.web.app import create_app
from tests.support.waiting import until


@dataclass(frozen=True, slots=True)
class Served:
    """A running server, and headers of the people of its sample practice."""

    url: str
    app: FastAPI
    ids: dict[str, UUID]

    def headers(self, email: str | None) -> dict[str, str]:
        """Of somebody signed in, or of nobody."""
        if email is None:
            return {}
        token = self.app.state.issuer.access_token(self.ids[email], uuid4(), second_factor=False)
        return {"Authorization": f"Bearer {token}"}


@pytest.fixture(scope="module")
def served(api_url: str, database_url: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    """The application on a port of its own, in a thread of its own, over the sample practice."""
    with socket.create_server(("127.0.0.1", 0)) as listener, socket.create_server(("127.0.0.1", 0)) as gateway:
        settings = Settings(
            data_dir=tmp_path_factory.mktemp("served"),
            port=listener.getsockname()[1],
            sandbox_url=sandbox_url(gateway),
            rate_limits=False,
        )
        app = create_app(settings, api_url)
        with _serving(lambda: build(settings), gateway), _serving(lambda: app, listener):
            asyncio.run(_seed(api_url, settings))
            yield Served(settings.base_url, app, _people(database_url))


@contextmanager
def _serving(make_app: Callable[[], Any], listener: socket.socket) -> Iterator[None]:
    """A server in a thread of its own, where its application is made too; gone at the end."""
    config = uvicorn.Config(make_app, factory=True, log_config=None, access_log=False, lifespan="on")
    server = uvicorn.Server(config)
    thread = threading.Thread(target=server.run, kwargs={"sockets": [listener]})
    thread.start()
    try:
        until(lambda: server.started, "the server starts")
        yield
    finally:
        server.should_exit = True
        thread.join()


async def _seed(api_url: str, settings: Settings) -> None:
    async with await Database.open(api_url) as database:
        assert await seed(database, settings)


def _people(database_url: str) -> dict[str, UUID]:
    with psycopg.connect(database_url) as conn:
        return dict(conn.execute("select email, id from public.users").fetchall())


COACH = people.MAYA.email
CLIENT = people.NOA.email
