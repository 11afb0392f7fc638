"""What the delivery worker asks, as the service role, but for get_content, which it asks as the recipient."""

from __future__ import annotations

from uuid import UUID

from pydantic import BaseModel, Field

from loom.db.executor import Executor
from loom.db.sql import load_queries
from loom.features.messaging.schemas import Channel, DeliveryState, Language

SQL = load_queries("loom.features.messaging")


class Lease(BaseModel):
    """A delivery that this worker may carry out; `attempt` must be named by its outcome."""

    id: UUID
    attempt: int


class OpenDelivery(BaseModel):
    """What sending needs. `refusal` is why not to, as of now; `quiet_seconds` how long the person wants quiet."""

    id: UUID
    message_id: UUID
    conversation_id: UUID
    message_seq: int
    recipient_id: UUID
    channel: Channel
    attempt: int
    email: str
    recipient_name: str | None
    language: Language
    sender_name: str | None
    title: str | None
    refusal: str | None
    quiet_seconds: float | None
    hide_content: bool
    unsubscribe_token: str


class Device(BaseModel):
    """A device with its keys."""

    id: UUID
    endpoint: str
    p256dh: str
    auth: str


class Outcome(BaseModel):
    """What became of an attempt. `pending` tries again after `delay_seconds`."""

    state: DeliveryState
    reason: str | None = None
    error_message: str | None = None
    provider_id: str | None = None
    delay_seconds: float = 0
    gone_devices: list[UUID] = Field(default_factory=list[UUID])
    reached_devices: list[UUID] = Field(default_factory=list[UUID])


async def lease_deliveries(q: Executor, batch: int, lease_seconds: float) -> list[Lease]:
    """Takes what is due, other workers' expired leases included."""
    return await q.fetch_all(SQL["lease_deliveries"], {"batch": batch, "lease_seconds": lease_seconds}, Lease)


async def load_delivery(q: Executor, lease: Lease, margin_seconds: float) -> OpenDelivery | None:
    """The delivery if the lease still holds for `margin_seconds` at least."""
    values = {"id": lease.id, "attempt": lease.attempt, "margin_seconds": margin_seconds}
    return await q.find_one(SQL["load_delivery"], values, OpenDelivery)


async def get_content(q: Executor, message_id: UUID) -> str | None:
    """The text as the reader may read it."""
    return await q.fetch_value(SQL["get_content"], {"message_id": message_id})


async def list_devices(q: Executor, user_id: UUID) -> list[Device]:
    """Somebody's devices that still take notices."""
    return await q.fetch_all(SQL["list_devices"], {"user_id": user_id}, Device)


async def finish_delivery(q: Executor, lease: Lease, outcome: Outcome) -> bool:
    """Records an outcome; False where the lease was lost and somebody else decides."""
    for name, ids in (("retire_devices", outcome.gone_devices), ("touch_devices", outcome.reached_devices)):
        if ids:
            await q.execute(SQL[name], {"ids": ids})
    if outcome.reason == "address_refused":
        await q.execute(SQL["suppress_address"], {"id": lease.id, "detail": outcome.error_message})
    values = outcome.model_dump(include={"state", "reason", "error_message", "provider_id", "delay_seconds"})
    return await q.execute(SQL["finish_delivery"], {"id": lease.id, "attempt": lease.attempt, **values}) == 1


async def record_bounce(q: Executor, delivery_id: UUID, address: str, *, permanent: bool, detail: str) -> str:
    """What a report of a mail that came back amounted to: unknown, delayed or bounced."""
    values = {"delivery_id": delivery_id, "address": address, "permanent": permanent, "detail": detail}
    return await q.fetch_value(SQL["record_bounce"], values)
