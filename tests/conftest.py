"""Fixtures of the whole suite. Everything runs against a real PostgreSQL; nothing of it is mocked."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Generator, Iterator
from contextlib import AbstractContextManager
from typing import Any
from uuid import UUID, uuid4

import httpx
import psycopg
import pytest
from fastapi import FastAPI
from psycopg.rows import DictRow, dict_row

from loom.core.settings import Settings
from loom.db.database import Database
from loom.web.app import create_app, use_database
from tests.support.acting import AsRole, AsUser, acting
from tests.support.cluster import Cluster, open_cluster
from tests.support.secret_search import TRAIL, follow


def pytest_addoption(parser: pytest.Parser) -> None:
    """What takes minutes runs in full only when asked for; without it a small version runs."""
    parser.addoption("--campaign", action="store_true", help="run the long campaigns in full")


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport() -> Generator[None, pytest.TestReport, pytest.TestReport]:
    """What a test printed, logged and was answered is searched for secrets as the test is reported."""
    report = yield
    TRAIL.search_report(report)
    return report


@pytest.fixture(scope="session", autouse=True)
def secrets_are_followed() -> Iterator[None]:
    """Knows what is sealed from now on, and looks a last time when all is over."""
    with pytest.MonkeyPatch.context() as patch:
        follow(patch)
        yield
    TRAIL.check()


@pytest.fixture(scope="session")
def anyio_backend() -> str:
    """Loom runs on asyncio."""
    return "asyncio"


@pytest.fixture(scope="session")
def cluster(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Cluster]:
    """One server for each process of the test run. What it logged is searched for secrets, too."""
    folder = tmp_path_factory.mktemp("cluster")
    with open_cluster(folder) as opened:
        yield opened
    for log in folder.glob("*.log"):
        TRAIL.search("output", log.name, log.read_text("utf-8", "replace"))
    TRAIL.check()


@pytest.fixture(scope="module")
def database_name(cluster: Cluster) -> Iterator[str]:
    """A migrated database for each test module."""
    name = cluster.create(cluster.template())
    yield name
    cluster.drop(name)


@pytest.fixture(scope="module")
def database_url(cluster: Cluster, database_name: str) -> str:
    """Conninfo of the module's database as its owner."""
    return cluster.url(database_name, "loom_owner")


@pytest.fixture(scope="module")
def api_url(cluster: Cluster, database_name: str) -> str:
    """Conninfo of the module's database as the application signs in."""
    return cluster.url(database_name, "loom_api")


@pytest.fixture
def owner(database_url: str) -> Iterator[psycopg.Connection[DictRow]]:
    """An autocommit connection as the owner of the tables; rows are dicts."""
    with psycopg.connect(database_url, autocommit=True, row_factory=dict_row) as conn:
        yield conn


@pytest.fixture(scope="module")
def as_role(api_url: str) -> AsRole:
    """Acts as anon, authenticated or service_role with the claims given."""

    def act(role: str, **claims: Any) -> AbstractContextManager[psycopg.Connection[DictRow]]:
        return acting(api_url, role, claims)

    return act


@pytest.fixture(scope="module")
def as_user(api_url: str) -> AsUser:
    """Acts as a signed-in user."""

    def act(user_id: UUID | str) -> AbstractContextManager[psycopg.Connection[DictRow]]:
        return acting(api_url, "authenticated", {"sub": str(user_id)})

    return act


@pytest.fixture
async def db(api_url: str, anyio_backend: str) -> AsyncIterator[Database]:  # noqa: ARG001 - asks for the event loop
    """The application's own door to the module's database."""
    async with await Database.open(api_url, max_size=8) as opened:
        yield opened


@pytest.fixture(scope="session")
def settings(tmp_path_factory: pytest.TempPathFactory) -> Settings:
    """Settings of the application under test: its own data folder, no limits on how often."""
    return Settings(data_dir=tmp_path_factory.mktemp("data"), rate_limits=False)


@pytest.fixture(scope="session")
def built_app(settings: Settings) -> FastAPI:
    """The application, built once; `app` ties it to the test's database."""
    return create_app(settings, "")


@pytest.fixture
def app(built_app: FastAPI, db: Database) -> FastAPI:
    """The application on the module's database."""
    use_database(built_app, db)
    return built_app


@pytest.fixture
async def client(app: FastAPI) -> AsyncIterator[httpx.AsyncClient]:
    """An HTTP client of the application, not signed in."""
    async with httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url="http://loom.test") as http:
        yield http


@pytest.fixture
def bearer(app: FastAPI) -> Callable[[UUID | str], dict[str, str]]:
    """Headers of a signed-in user: `client.get("/v1/me", headers=bearer(user_id))`."""

    def headers(user_id: UUID | str) -> dict[str, str]:
        token = app.state.issuer.access_token(UUID(str(user_id)), uuid4(), second_factor=False)
        return {"Authorization": f"Bearer {token}"}

    return headers
