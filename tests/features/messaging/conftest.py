"""Fixtures of the messaging tests."""

from __future__ import annotations

import psycopg
import pytest
from psycopg.rows import dict_row

from tests.features.messaging.world import World, make_world
from tests.support.acting import AsUser


@pytest.fixture(scope="module")
def world(database_url: str, as_user: AsUser) -> World:
    """The practice, once per module."""
    with psycopg.connect(database_url, autocommit=True, row_factory=dict_row) as owner:
        return make_world(owner, as_user)
