"""Background work of live updates: the log is kept for some days only."""

from __future__ import annotations

import logging

from loom.db.actor import Actor
from loom.db.database import Tx
from loom.features.live import queries
from loom.jobs.registry import JobContext, Retry, task

log = logging.getLogger("loom.live")


@task("live.prune", retry=Retry(), cron="23 * * * *")
async def prune(ctx: JobContext, timestamp: int) -> None:  # noqa: ARG001 - periodic tasks are told their time
    """Throws old events away."""

    async def work(tx: Tx) -> int:
        return await queries.prune_live(tx, ctx.settings.live_log_days)

    gone = await ctx.db.run(Actor.service("throw old live events away"), work)
    log.debug("%s live events thrown away", gone)
