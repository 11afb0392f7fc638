"""Background work of the practice."""

from __future__ import annotations

import logging
from uuid import UUID

from loom.db.actor import Actor
from loom.features.practice import queries
from loom.features.practice.mail import invitation_mail
from loom.jobs.registry import JobContext, Retry, task
from loom.providers.email import Mailer
from loom.providers.errors import PermanentError

log = logging.getLogger("loom.practice")


@task("practice.send_client_invitation", retry=Retry(attempts=6, wait_seconds=10))
async def send_client_invitation(ctx: JobContext, *, coach_client_id: str) -> None:
    """Mails the invitation, unless it has been answered or withdrawn by now."""
    reader = ctx.db.reader(Actor.service("mail an invitation to a client"))
    invitation = await queries.get_invitation(reader, UUID(coach_client_id))
    if invitation is None or invitation.status != "invited" or not invitation.email or not invitation.invited_at:
        return
    message = invitation_mail(
        key=f"client-invitation-{invitation.id}-{int(invitation.invited_at.timestamp())}",
        sender=ctx.settings.mail_from,
        email=invitation.email,
        name=invitation.display_name,
        coach=invitation.coach_name,
        practice=invitation.practice_name,
        language=invitation.language,
        base_url=ctx.settings.base_url,
    )
    try:
        await ctx.get(Mailer).send(message)
    except PermanentError as refused:
        # The address takes no mail and trying again won't change that; the coach sees that nobody answers.
        log.warning("invitation of client %s was refused: %s", coach_client_id, refused)
