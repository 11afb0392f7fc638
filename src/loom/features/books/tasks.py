"""Background work of the books."""

from __future__ import annotations

import structlog

from loom.db.actor import Actor
from loom.features.books import queries
from loom.jobs.registry import JobContext, task

CHECKING = Actor.service("check that books, documents and balances agree")

_log = structlog.get_logger(__name__)


@task("books.verify", cron="20 2 * * *")
async def verify(ctx: JobContext, *, timestamp: int) -> None:  # noqa: ARG001 - periodic tasks get it
    """Every night: says of each difference where it is. Repairs nothing: what is wrong is for people to understand."""
    differences = await queries.verify_all(ctx.db.reader(CHECKING), None)
    for found in differences:
        _log.error("books_differ", **found.model_dump(mode="json"))
    if not differences:
        _log.info("books_agree")
