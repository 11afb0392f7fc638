"""What the conftest of a folder takes whose tests have secrets of gateways in their traffic."""

from __future__ import annotations

from collections.abc import Generator

import pytest

from tests.support.cluster import Cluster
from tests.support.secret_search import TRAIL, follow


@pytest.fixture(scope="session", autouse=True)
def secrets_are_followed() -> Generator[None]:
    """Knows what is sealed from now on, and looks a last time when all is over."""
    with pytest.MonkeyPatch.context() as patch:
        follow(patch)
        yield
    TRAIL.check()


@pytest.fixture(scope="module")
def database_name(database_name: str, cluster: Cluster) -> Generator[str]:
    """The module's database, searched before it is dropped."""
    yield database_name
    TRAIL.search_database(cluster.url(database_name, "postgres"), database_name)
    TRAIL.check()


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport() -> Generator[None, pytest.TestReport, pytest.TestReport]:
    """What was printed and logged is searched as it is reported."""
    report = yield
    TRAIL.search_report(report)
    return report
