"""Background work of billing. Every handler loads by id and asks the database, so running it again is safe."""

from __future__ import annotations

from uuid import UUID

from loom.features.billing.service import Billing
from loom.jobs.registry import JobContext, Retry, task

_RETRY = Retry(attempts=8, wait_seconds=2)


@task("billing.handle_webhook", retry=_RETRY)
async def handle_webhook(ctx: JobContext, *, event_id: str) -> None:
    """Applies an event of the inbox."""
    await Billing(ctx.db, ctx.settings).handle_event(UUID(event_id))


@task("billing.repair_unknown", cron="* * * * * */15")
async def repair_unknown(ctx: JobContext, *, timestamp: int) -> None:  # noqa: ARG001 - periodic tasks get it
    """Looks up what was sent and never answered. Nothing is sent again blindly."""
    await Billing(ctx.db, ctx.settings).repair()


@task("billing.cancel_intent", retry=_RETRY)
async def cancel_intent(ctx: JobContext, *, intent_id: str) -> None:
    """Tells the gateway that an intent was given up."""
    await Billing(ctx.db, ctx.settings).cancel_at_gateway(UUID(intent_id))


@task("billing.detach_method", retry=_RETRY)
async def detach_method(ctx: JobContext, *, method_id: str) -> None:
    """Has the gateway forget a card."""
    await Billing(ctx.db, ctx.settings).detach_at_gateway(UUID(method_id))
