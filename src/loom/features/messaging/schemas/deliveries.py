"""What became of messages, and devices that take notices."""

from __future__ import annotations

from datetime import datetime
from typing import Literal
from uuid import UUID

from pydantic import BaseModel

from loom.features.messaging.schemas.words import Channel, DeliveryState, Reached, RollUp


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


class Reach(BaseModel):
    """Whether a message reached somebody.

    `read`: they have read it. `told`: mail or a notice about it went out. `on_its_way`: that is still being tried.
    `in_the_app`: it waits for them there, and nothing tells them. `not_reached`: not even that. `reasons` say why
    channels failed or were not tried.
    """

    recipient_id: UUID
    recipient_name: str | None
    reached: Reached
    reasons: list[str] | None


class Deliveries(BaseModel):
    """Per person, per channel, and per person and channel: as much of it as you may see."""

    people: list[Reach]
    channels: list[ChannelState]
    items: list[Delivery]
    next_cursor: None


class DeliveryCount(BaseModel):
    """How many deliveries ended, or wait, in one way.

    Times are from planning to sending; `overdue_seconds` is how long the oldest of them should have been taken up.
    """

    channel: Channel
    state: DeliveryState
    reason: str | None
    count: int
    attempts: int
    median_seconds: float | None
    p99_seconds: float | None
    overdue_seconds: float | None


class ChannelRate(BaseModel):
    """Of what was tried on a channel and has ended, how much went out; null where nothing has."""

    channel: Channel
    sent: int
    failed: int
    suppressed: int
    open: int
    success_rate: float | None


class DeliveryStatistics(BaseModel):
    """How deliveries fared: all of them for an admin, those that concern you otherwise."""

    since: datetime
    until: datetime
    channels: list[ChannelRate]
    items: list[DeliveryCount]


class Suppression(BaseModel):
    """An address that mail does not reach: nothing is sent there until it is lifted."""

    id: UUID
    address: str
    reason: Literal["bounced", "refused", "by_hand"]
    detail: str | None
    delivery_id: UUID | None
    created_at: datetime
    lifted_at: datetime | None


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
