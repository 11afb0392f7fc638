"""Jobs of identity: mails about accounts, and tidying up."""

from __future__ import annotations

from loom.db.actor import Actor
from loom.db.database import Tx
from loom.features.identity import mails, queries
from loom.features.identity.schemas import Account
from loom.features.identity.service.accounts import RESET_PASSWORD, VERIFY_EMAIL
from loom.features.identity.service.secrets import hash_token, new_token
from loom.jobs.registry import JobContext, Retry, task
from loom.providers.email import Mailer

# Purpose -> how long its link works and where it leads.
_LINKS: dict[str, tuple[int, str]] = {
    VERIFY_EMAIL: (3 * 86400, "verify-email"),
    RESET_PASSWORD: (3600, "reset-password"),
}


@task("identity.send_mail", retry=Retry(attempts=6, wait_seconds=5))
async def send_mail(ctx: JobContext, *, purpose: str, email: str) -> None:
    """Mail a link, or a notice, if the address has an account that it makes sense for.

    The token is made here: the database only ever sees its hash, and the queue never sees it.
    """

    async def prepare(tx: Tx) -> tuple[Account, str | None] | None:
        account = await queries.find_account_by_email(tx, email)
        if account is None or account.status != "active":
            return None
        if purpose == VERIFY_EMAIL and account.email_verified_at is not None:
            return None
        return account, await _link(tx, ctx, account, purpose)

    found = await ctx.db.run(Actor.service("mail somebody about their account"), prepare)
    if found is None:
        return
    account, link = found
    message = mails.account_mail(
        purpose,
        account.language,
        sender=ctx.settings.mail_from,
        recipient=account.email,
        key=f"account-{ctx.job_id}",
        link=link,
    )
    await ctx.get(Mailer).send(message)


@task("identity.purge", cron="17 3 * * *")
async def purge(ctx: JobContext, timestamp: int) -> None:  # noqa: ARG001 - periodic tasks are told their time
    """Delete what has served, once a day."""
    await ctx.db.run(Actor.service("tidy up sign-ins and keys"), queries.purge)


async def _link(tx: Tx, ctx: JobContext, account: Account, purpose: str) -> str | None:
    if purpose not in _LINKS:
        return None
    seconds, page = _LINKS[purpose]
    token = new_token()
    if ctx.attempt > 1:
        # The mail of the attempt before may not have gone out; one link at a time is enough.
        await queries.drop_one_time_tokens(tx, account.id, purpose)
    await queries.keep_one_time_token(
        tx, account.id, hash_token(token), purpose=purpose, email=account.email, seconds=seconds
    )
    # Behind the #, so that the token reaches no server's log on the way.
    return f"{ctx.settings.base_url}/{page}?lang={account.language}#token={token}"
