"""What documents do in the background: leave by mail."""

from __future__ import annotations

import logging
from uuid import UUID

from loom.db.actor import Actor
from loom.features.documents import queries, service
from loom.features.documents.letters import document_mail
from loom.jobs.registry import JobContext, Retry, task
from loom.providers.email import Mailer
from loom.providers.errors import PermanentError

log = logging.getLogger("loom.documents")

SENDING = Actor.service("mail a document")


@task("documents.send", retry=Retry(attempts=8, wait_seconds=10))
async def send(ctx: JobContext, *, send_id: str) -> None:
    """Mail a document with its PDF.

    The link's token is made here and now, so that it stands in no job. A repeat makes another one; the first stays
    good, since its mail may have arrived.
    """
    letter = await ctx.db.run(SENDING, lambda tx: queries.document_to_send(tx, UUID(send_id)))
    if letter is None:
        return
    failure: str | None = None
    try:
        message = document_mail(
            letter,
            await service.pdf(letter),
            sender=ctx.settings.mail_from,
            base_url=ctx.settings.base_url,
            key=f"document.{send_id}",
        )
        await ctx.get(Mailer).send(message)
    except PermanentError as refused:
        failure = str(refused)
        log.warning("document mail %s was refused: %s", send_id, refused)
    await ctx.db.run(SENDING, lambda tx: queries.finish_send(tx, UUID(send_id), failure))
