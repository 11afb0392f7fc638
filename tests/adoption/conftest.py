"""Fixtures of the tests of adoption."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.adoption.scene import Scene, close_scene, open_scene
from tests.support.cluster import Cluster


@pytest.fixture(scope="package")
def scene(cluster: Cluster) -> Iterator[Scene]:
    """The old database and its adopted copy, made once: what is tried in them is taken back."""
    opened = open_scene(cluster)
    yield opened
    close_scene(opened)
