"""What calendars do in the background: letters that keep people's calendars right, and old links."""

from __future__ import annotations

import logging
from uuid import UUID

from loom.db.actor import Actor
from loom.features.calendars import letters, queries
from loom.jobs.registry import JobContext, Retry, task
from loom.providers.email import Mailer
from loom.providers.errors import PermanentError

log = logging.getLogger("loom.calendars")


@task("calendars.send_invitation", retry=Retry(attempts=8, wait_seconds=10))
async def send_invitation(ctx: JobContext, *, attendee_id: str) -> None:
    """Mail somebody what their calendar should say about their seat, if it does not say so yet.

    It looks at what is so now, so that changes in quick succession are one letter. The letter is noted with its number
    before it is sent: a job that died in between sends the same letter again, and its calendar knows it by that number.
    """
    mailer: Mailer = ctx.get(Mailer)
    # Two at most: an address that has changed gets a cancellation, and the new one an invitation.
    for _ in range(2):
        async with ctx.db.transaction(Actor.service("prepare a letter about a seat")) as tx:
            letter = await queries.prepare_letter(tx, UUID(attendee_id))
        if letter is None:
            return
        mail = letters.compose_letter(letter, sender=ctx.settings.mail_from, base_url=ctx.settings.base_url)
        refused: str | None = None
        try:
            await mailer.send(mail)
        except PermanentError as error:
            refused = str(error)
            log.warning("the letter %s.%s was refused: %s", attendee_id, letter.sequence, error)
        async with ctx.db.transaction(Actor.service("note that a letter went out")) as tx:
            await queries.letter_sent(tx, letter, refused)


@task("calendars.forget_expired_links", cron="17 3 * * *")
async def forget_expired_links(ctx: JobContext, *, timestamp: int) -> None:
    """Every night."""
    async with ctx.db.transaction(Actor.service("forget links that expired long ago")) as tx:
        forgotten = await queries.forget_expired_links(tx)
    log.info("forgot %s expired links at %s", forgotten, timestamp)
