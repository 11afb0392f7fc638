"""What became of messages, and devices that take notices."""

from __future__ import annotations

from datetime import datetime
from uuid import UUID

from pydantic import BaseModel

from loom.features.messaging.schemas.words import Channel, DeliveryState, RollUp


class ChannelState(BaseModel):
    """How a message fared on a channel, over all its recipients."""

    channel: Channel
    status: RollUp
    sent_at: datetime | None
    error_message: str | None


class Delivery(BaseModel):
    """How a message fared with one person on one channel; `reason` says why it failed or was not tried."""

    id: UUID
    recipient_id: UUID
    recipient_name: str | None
    channel: Channel
    state: DeliveryState
    reason: str | None
    attempts: int
    next_attempt_at: datetime | None
    sent_at: datetime | None
    error_message: str | None
    created_at: datetime


class Deliveries(BaseModel):
    """Per channel, and per person and channel: as much of it as you may see."""

    channels: list[ChannelState]
    items: list[Delivery]
    next_cursor: None


class PushSubscription(BaseModel):
    """One of your devices. A retired one gets nothing any more."""

    id: UUID
    endpoint: str
    label: str | None
    last_sent_at: datetime | None
    retired_at: datetime | None
    retired_reason: str | None
    created_at: datetime


class PushKey(BaseModel):
    """The `applicationServerKey` that browsers subscribe with: base64url."""

    public_key: str
