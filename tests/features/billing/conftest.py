"""Fixtures of billing."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.features.billing.live import Live, running_loom
from tests.features.billing.shop import Shop
from tests.features.billing.world import Owner, World
from tests.support.acting import AsRole, AsUser, standing
from tests.support.cluster import Cluster
from tests.support.sandbox import Sandbox, running_sandbox


@pytest.fixture(scope="module")
def superuser_url(cluster: Cluster, database_name: str) -> str:
    """Conninfo of the module's database as somebody who may end anybody's connection."""
    return cluster.url(database_name, "postgres")


@pytest.fixture
def world(owner: Owner, as_user: AsUser, as_role: AsRole) -> World:
    """A coach with a practice, a client and a gateway account."""
    return World.make(owner, as_user, as_role)


@pytest.fixture
def standing_world(owner: Owner, api_url: str) -> Iterator[World]:
    """The same, where all who act share one connection that stays: for stories of very many short acts."""
    with standing(api_url) as door:
        yield World.make(owner, lambda user: door("authenticated", sub=str(user)), door)


@pytest.fixture(scope="session")
def sandbox(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Sandbox]:
    """The sandbox gateway on a free port."""
    with running_sandbox(tmp_path_factory.mktemp("sandbox")) as running:
        yield running


@pytest.fixture(scope="module")
def live(api_url: str, sandbox: Sandbox, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Live]:
    """Loom and its worker on a free port, tied to the sandbox."""
    with running_loom(api_url, sandbox, tmp_path_factory.mktemp("loom")) as running:
        yield running


@pytest.fixture
def shop(live: Live, world: World) -> Shop:
    """A coach whose practice takes cards."""
    return Shop(live, world)


@pytest.fixture
def campaign(request: pytest.FixtureRequest) -> bool:
    """Whether the long campaigns run in full."""
    return bool(request.config.getoption("--campaign"))
