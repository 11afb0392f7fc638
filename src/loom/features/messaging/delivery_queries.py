"""What the courier of messages asks, as the service role, but for get_contents, which it asks as the recipient."""

from __future__ import annotations

from collections import defaultdict
from uuid import UUID

from pydantic import BaseModel

from loom.db.executor import Executor
from loom.db.sql import load_queries
from loom.delivery import Lease, Outcome
from loom.features.messaging.letters import Item, MessageParcel

SQL = load_queries("loom.features.messaging")


class OpenDelivery(BaseModel):
    """A row of a parcel: what is the parcel's, and what is the message's own."""

    attempt: int
    channel: str
    recipient_id: UUID
    conversation_id: UUID
    email: str
    name: str | None
    language: str
    title: str | None
    quiet_seconds: float | None
    hide_content: bool
    unsubscribe_token: str
    mail_key: str
    delivery_id: UUID
    message_id: UUID
    seq: int
    sender_name: str | None
    refusal: str | None


class Content(BaseModel):
    """A text that the reader may read."""

    id: UUID
    content: str


async def lease_deliveries(q: Executor, batch: int, lease_seconds: float, mail_after_seconds: float) -> list[Lease]:
    """Takes what is due, other workers' expired leases included."""
    values = {"batch": batch, "lease_seconds": lease_seconds, "mail_after_seconds": mail_after_seconds}
    return await q.fetch_all(SQL["lease_deliveries"], values, Lease)


async def load_parcel(q: Executor, lease: Lease, margin_seconds: float) -> MessageParcel | None:
    """The parcel if the lease still holds for `margin_seconds` at least."""
    values = {"id": lease.id, "attempt": lease.attempt, "margin_seconds": margin_seconds}
    rows = await q.fetch_all(SQL["load_deliveries"], values, OpenDelivery)
    if not rows:
        return None
    own = set(Item.model_fields) & set(OpenDelivery.model_fields)
    items = [Item(**row.model_dump(include=own)) for row in rows]
    return MessageParcel(id=lease.id, items=items, refusal=None, **rows[0].model_dump(exclude=own))


async def get_contents(q: Executor, message_ids: list[UUID]) -> dict[UUID, str]:
    """The texts that the reader may read."""
    if not message_ids:
        return {}
    found = await q.fetch_all(SQL["get_contents"], {"ids": message_ids}, Content)
    return {one.id: one.content for one in found}


async def finish_parcel(q: Executor, parcel: MessageParcel, outcome: Outcome) -> bool:
    """Records an outcome; False where the lease was lost and somebody else decides."""
    outcomes: dict[str | None, list[UUID]] = defaultdict(list)
    for item in parcel.items:
        outcomes[item.refusal].append(item.delivery_id)
    recorded = 0
    for refusal, ids in outcomes.items():
        said = outcome if refusal is None else Outcome(state="suppressed", reason=refusal)
        recorded += await q.execute(SQL["finish_deliveries"], {"ids": ids, "attempt": parcel.attempt, **said.columns})
    return recorded == len(parcel.items)


async def record_bounce(q: Executor, mail_key: str, address: str, *, permanent: bool, detail: str) -> str:
    """What a report of a mail that came back amounted to: unknown, delayed or bounced."""
    values = {"mail_key": mail_key, "address": address, "permanent": permanent, "detail": detail}
    return await q.fetch_value(SQL["record_bounce"], values)
