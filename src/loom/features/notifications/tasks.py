"""Background work of notifications: reminders each minute, and the loop that carries notices out."""

from __future__ import annotations

import asyncio

from loom.db.actor import Actor
from loom.db.database import Tx
from loom.features.notifications import queries
from loom.features.notifications.notice_delivery import NoticeCourier
from loom.jobs.registry import JobContext, loop, task
from loom.providers.email import Mailer
from loom.providers.email.templates import Templates
from loom.providers.push import PushSender


@task("notifications.remind", cron="* * * * *")
async def remind(ctx: JobContext, timestamp: int) -> None:  # noqa: ARG001 - periodic tasks are told their time
    """Remind of sessions. What a dead worker left out, the next minute finds: it looks at the state of things."""

    async def work(tx: Tx) -> int:
        return await queries.remind_of_sessions(tx)

    await ctx.db.run(Actor.service("remind people of their sessions"), work)


@loop("notifications.deliveries")
async def deliver_notices(ctx: JobContext, stop: asyncio.Event) -> None:
    """Runs as long as the worker does."""
    await NoticeCourier(ctx.db, ctx.settings, ctx.get(Mailer), ctx.get(PushSender), ctx.get(Templates)).run(stop)
