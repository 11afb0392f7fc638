"""Background work of billing. Every handler loads by id and asks the database, so running it again is safe."""

from __future__ import annotations

from uuid import UUID

import structlog

from loom.core.clock import now
from loom.features.billing import gateway_queries as gateways
from loom.features.billing.cards import Cards
from loom.features.billing.inbox import Inbox, described
from loom.features.billing.reconciliation import LOOK_BACK, Reconciler
from loom.features.billing.service import SENDING, Billing
from loom.jobs.registry import JobContext, Retry, task

_log = structlog.get_logger(__name__)
_RETRY = Retry(attempts=8, wait_seconds=2)


@task("billing.handle_webhook", retry=_RETRY)
async def handle_webhook(ctx: JobContext, *, event_id: str) -> None:
    """Applies an event of the inbox."""
    await Inbox(ctx.db, ctx.settings).handle_event(UUID(event_id))


@task("billing.repair_unknown", cron="* * * * * */15")
async def repair_unknown(ctx: JobContext, *, timestamp: int) -> None:  # noqa: ARG001 - periodic tasks get it
    """Looks up what was sent and never answered. Nothing is sent again blindly."""
    await Inbox(ctx.db, ctx.settings).repair()


@task("billing.charge_seats", cron="* * * * *")
async def charge_seats(ctx: JobContext, *, timestamp: int) -> None:  # noqa: ARG001 - periodic tasks get it
    """Charges kept cards for seats, where a practice wants that at booking or after the session."""
    billing = Billing(ctx.db, ctx.settings)
    for due in await ctx.db.run(SENDING, lambda tx: gateways.take_seat_charges(tx, 50)):
        try:
            await billing.charge_seat(due.attendee_id)
        except Exception as exc:  # noqa: BLE001 - due again in ten minutes, it keeps the others from nothing
            _log.warning("charge of a seat failed", attendee_id=str(due.attendee_id), **described(exc))


@task("billing.reconcile", cron="10 1 * * *")
async def reconcile(ctx: JobContext, *, timestamp: int) -> None:  # noqa: ARG001 - periodic tasks get it
    """Each night: takes events whose delivery was missed, then compares the books with each gateway's own list."""
    reconciler = Reconciler(ctx.db, ctx.settings)
    until = now()
    for account_id in await reconciler.accounts():
        try:
            await reconciler.sweep(account_id, until - LOOK_BACK)
            await reconciler.run(account_id, until - LOOK_BACK, until, mend=True)
        except Exception as exc:  # noqa: BLE001 - one gateway keeps the others from nothing
            # The next night looks three days back.
            _log.warning("reconciliation failed", account_id=str(account_id), **described(exc))


@task("billing.cancel_intent", retry=_RETRY)
async def cancel_intent(ctx: JobContext, *, intent_id: str) -> None:
    """Tells the gateway that an intent was given up."""
    await Billing(ctx.db, ctx.settings).cancel_at_gateway(UUID(intent_id))


@task("billing.send_refund", retry=_RETRY)
async def send_refund(ctx: JobContext, *, refund_id: str) -> None:
    """Sends a refund that the database decided on; what comes of it otherwise, the repair finds out."""
    await Billing(ctx.db, ctx.settings).send_refund(UUID(refund_id))


@task("billing.detach_method", retry=_RETRY)
async def detach_method(ctx: JobContext, *, method_id: str) -> None:
    """Has the gateway forget a card."""
    await Cards(ctx.db, ctx.settings).detach_at_gateway(UUID(method_id))
