"""What every courier asks of the database, as the service role."""

from __future__ import annotations

from uuid import UUID

from loom.db.executor import Executor
from loom.db.sql import load_queries
from loom.delivery.parcels import Device, Outcome, Parcel

SQL = load_queries(__package__)


async def list_devices(q: Executor, user_id: UUID) -> list[Device]:
    """Somebody's devices that still take notices."""
    return await q.fetch_all(SQL["list_devices"], {"user_id": user_id}, Device)


async def learn(q: Executor, parcel: Parcel, outcome: Outcome) -> None:
    """Keeps what an attempt has shown about devices and addresses."""
    if outcome.gone_devices:
        await q.execute(SQL["retire_devices"], {"ids": outcome.gone_devices})
    if outcome.reached_devices:
        await q.execute(SQL["touch_devices"], {"ids": outcome.reached_devices})
    if outcome.reason == "address_refused":
        values = {"address": parcel.email, "detail": outcome.error_message, "id": parcel.id}
        await q.execute(SQL["suppress_address"], values)
