"""What scheduling does in the background: invitation mail, holds that ran out, no-shows."""

from __future__ import annotations

import logging
from uuid import UUID

from loom.db.actor import Actor
from loom.features.scheduling import letters, queries
from loom.jobs.registry import JobContext, Retry, task
from loom.providers.email import Mailer
from loom.providers.errors import PermanentError

log = logging.getLogger("loom.scheduling")


@task("scheduling.send_invitation", retry=Retry(attempts=8, wait_seconds=10))
async def send_invitation(ctx: JobContext, *, attendee_id: str) -> None:
    """Mail somebody the link to their invitation.

    The token is made here and now, so that it stands in no job. A repeat makes another one; the first stays good,
    since its mail may have arrived.
    """
    async with ctx.db.transaction(Actor.service("send an invitation")) as tx:
        letter = await queries.issue_invitation_link(tx, UUID(attendee_id))
    if letter is None:
        return
    message = letters.invitation(
        letter,
        sender=ctx.settings.mail_from,
        base_url=ctx.settings.base_url,
        message_key=f"invitation.{attendee_id}.{ctx.job_id}",
    )
    mailer: Mailer = ctx.get(Mailer)
    try:
        await mailer.send(message)
    except PermanentError as refused:
        log.warning("invitation %s was refused: %s", attendee_id, refused)


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
