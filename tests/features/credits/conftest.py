"""Fixtures of credits."""

from __future__ import annotations

import pytest

from tests.features.billing.world import Owner, World
from tests.support.acting import AsRole, AsUser


@pytest.fixture
def world(owner: Owner, as_user: AsUser, as_role: AsRole) -> World:
    """A coach with a practice, a client and a gateway account."""
    return World.make(owner, as_user, as_role)
