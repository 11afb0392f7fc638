"""Steps of the practice that take more than one query of a transaction."""

from __future__ import annotations

from uuid import UUID

from loom.db.executor import Executor
from loom.features.practice import queries
from loom.features.practice.schemas import AddClient, ChangeClient, Client


async def add_client(tx: Executor, new: AddClient) -> Client:
    """The client as added."""
    return await queries.get_client(tx, await queries.add_client(tx, new))


async def change_client(tx: Executor, coach_client_id: UUID, change: ChangeClient) -> Client:
    """The client as it is now. Raises 404 to everybody but the coach."""
    await queries.change_client(tx, coach_client_id, change)
    return await queries.get_client(tx, coach_client_id)


async def end_client(tx: Executor, coach_client_id: UUID) -> Client:
    """The client, ended."""
    await queries.end_client(tx, coach_client_id)
    return await queries.get_client(tx, coach_client_id)


async def resume_client(tx: Executor, coach_client_id: UUID) -> Client:
    """The client, active again."""
    await queries.resume_client(tx, coach_client_id)
    return await queries.get_client(tx, coach_client_id)


async def invite_client(tx: Executor, coach_client_id: UUID) -> Client:
    """The client, invited; the mail goes out after the transaction."""
    await queries.invite_client(tx, coach_client_id)
    return await queries.get_client(tx, coach_client_id)
