"""Profiles: one's own, and those of others as far as the policies show them."""

from __future__ import annotations

from uuid import UUID

from loom.db.executor import Executor
from loom.features.identity import queries
from loom.features.identity.schemas import SetRole, SetStatus, UpdateProfile, User


async def update_own(q: Executor, user_id: UUID, change: UpdateProfile) -> User:
    """Write what was given of one's own profile."""
    return await queries.update_profile(q, user_id, change)


async def set_role(q: Executor, user_id: UUID, command: SetRole) -> User:
    """Give a person another role; the database decides whether the caller may."""
    await queries.set_user_role(q, user_id, command.role, command.reason)
    return await queries.get_user(q, user_id)


async def set_status(q: Executor, user_id: UUID, command: SetStatus) -> User:
    """Suspend or restore a person; the database decides whether the caller may."""
    await queries.set_user_status(q, user_id, command.status, command.reason)
    return await queries.get_user(q, user_id)
