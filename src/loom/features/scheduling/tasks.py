"""What scheduling does in the background: holds that ran out, no-shows."""

from __future__ import annotations

import logging

from loom.db.actor import Actor
from loom.features.scheduling import queries
from loom.jobs.registry import JobContext, task

log = logging.getLogger("loom.scheduling")


@task("scheduling.clear_expired_holds", cron="*/10 * * * *")
async def clear_expired_holds(ctx: JobContext, *, timestamp: int) -> None:
    """Every ten minutes. Booking does not wait for it."""
    async with ctx.db.transaction(Actor.service("clear expired holds")) as tx:
        cleared = await queries.clear_expired_holds(tx)
    log.info("cleared %s expired holds at %s", cleared, timestamp)


@task("scheduling.derive_no_shows", cron="*/5 * * * *")
async def derive_no_shows(ctx: JobContext, *, timestamp: int) -> None:
    """Every five minutes: who confirmed and did not come, once the grace of their session is over."""
    async with ctx.db.transaction(Actor.service("record who did not come")) as tx:
        missed = await queries.derive_no_shows(tx)
    log.info("recorded %s no-shows at %s", missed, timestamp)
