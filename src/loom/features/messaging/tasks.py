"""Background work of messaging: the loop that carries deliveries out."""

from __future__ import annotations

import asyncio

from loom.features.messaging.delivery import DeliveryWorker
from loom.jobs.registry import JobContext, loop
from loom.providers.email import Mailer
from loom.providers.push import PushSender


@loop("messaging.deliveries")
async def deliver_messages(ctx: JobContext, stop: asyncio.Event) -> None:
    """Runs as long as the worker does."""
    await DeliveryWorker(ctx.db, ctx.settings, ctx.get(Mailer), ctx.get(PushSender)).run(stop)
