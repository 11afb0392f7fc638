"""Fixtures of documents."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from playwright.sync_api import Browser

from tests.features.billing.live import Live, running_loom
from tests.features.billing.shop import Shop
from tests.features.billing.world import Owner, World
from tests.support.acting import AsRole, AsUser
from tests.support.browser import running_browser
from tests.support.sandbox import Sandbox, running_sandbox


@pytest.fixture
def world(owner: Owner, as_user: AsUser, as_role: AsRole) -> World:
    """A coach with a practice, a client and a gateway account."""
    return World.make(owner, as_user, as_role)


@pytest.fixture(scope="module")
def sandbox(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Sandbox]:
    """The sandbox gateway on a free port."""
    with running_sandbox(tmp_path_factory.mktemp("sandbox")) as running:
        yield running


@pytest.fixture(scope="module")
def live(api_url: str, sandbox: Sandbox, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Live]:
    """Loom and its worker on a free port, tied to the sandbox."""
    with running_loom(api_url, sandbox, tmp_path_factory.mktemp("loom")) as running:
        yield running


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    """A real browser."""
    with running_browser() as opened:
        yield opened


@pytest.fixture
def shop(live: Live, world: World) -> Shop:
    """A coach whose practice takes cards."""
    return Shop(live, world)
