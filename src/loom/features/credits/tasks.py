"""What credits do in the background: end."""

from __future__ import annotations

import logging

from loom.db.actor import Actor
from loom.features.credits import queries
from loom.jobs.registry import JobContext, task

log = logging.getLogger("loom.credits")


@task("credits.expire", cron="20 1 * * *")
async def expire(ctx: JobContext, *, timestamp: int) -> None:
    """Every night. Booking does not wait for it: what has ended is not spent."""
    count = await ctx.db.run(Actor.service("end credits that are over"), queries.expire_credits)
    log.info("%s credits ended with something left, at %s", count, timestamp)
