"""What happens with coaches' days in the background."""

from __future__ import annotations

import logging

from loom.core import clock
from loom.core.errors import AppError
from loom.db.actor import Actor
from loom.features.hours import holidays, queries
from loom.jobs.registry import JobContext, task

log = logging.getLogger("loom.hours")


@task("hours.renew_holidays", cron="20 2 * * *")
async def renew_holidays(ctx: JobContext, *, timestamp: int) -> None:
    """Every night: holidays of the year that has come into reach."""
    today = clock.now().date()
    until = holidays.until(today)
    async with ctx.db.transaction(Actor.service("find holidays to renew")) as tx:
        keepers = await queries.calendars_to_renew(tx, until)
    for keeper in keepers:
        try:
            days = holidays.days_of(keeper.country, keeper.subdivision, keeper.language, today)
        except AppError as unknown:
            # The library knew the country when the coach chose it. Its days stay as they are.
            log.warning("holidays of %s are not renewed: %s", keeper.country, unknown)
            continue
        async with ctx.db.transaction(Actor.service("renew holidays")) as tx:
            await queries.renew_holidays(tx, keeper.id, until, days)
    log.info("renewed %s calendars of holidays at %s", len(keepers), timestamp)
