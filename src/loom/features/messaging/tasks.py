"""Background work of messaging: the loop that carries deliveries out, and the checking of files."""

from __future__ import annotations

import asyncio
from uuid import UUID

from loom.features.messaging import file_service
from loom.features.messaging.delivery import MessageCourier
from loom.jobs.registry import JobContext, Retry, loop, task
from loom.providers.email import Mailer
from loom.providers.email.templates import Templates
from loom.providers.push import PushSender


@loop("messaging.deliveries")
async def deliver_messages(ctx: JobContext, stop: asyncio.Event) -> None:
    """Runs as long as the worker does."""
    await MessageCourier(ctx.db, ctx.settings, ctx.get(Mailer), ctx.get(PushSender), ctx.get(Templates)).run(stop)


@task("messaging.check_upload", retry=Retry(attempts=8, wait_seconds=5))
async def check_upload(ctx: JobContext, *, upload_id: str) -> None:
    """Looks into an uploaded file."""
    await file_service.check_upload(ctx.db, ctx.settings, UUID(upload_id))


@task("messaging.remove_file", retry=Retry(attempts=8, wait_seconds=5))
async def remove_file(ctx: JobContext, *, upload_id: str) -> None:
    """Removes a file whose message was deleted."""
    await file_service.remove_file(ctx.settings, UUID(upload_id))


@task("messaging.drop_expired_uploads", cron="23 * * * *")
async def drop_expired_uploads(ctx: JobContext, *, timestamp: int) -> None:  # noqa: ARG001 - every periodic task gets it
    """Throws away files that no message had in time."""
    await file_service.drop_expired(ctx.db, ctx.settings)
