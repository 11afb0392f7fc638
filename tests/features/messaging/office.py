"""A worker with an outbox of its own, and what came of its work."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from email.message import EmailMessage
from pathlib import Path
from typing import Any
from uuid import UUID

from loom.core.settings import Settings
from loom.db.database import Database
from loom.features.messaging.delivery import MessageCourier
from loom.jobs.leases import Pace
from loom.providers.email import OutboxMailer, SmtpMailer
from loom.providers.email.templates import Templates
from loom.providers.push import WebPushSender
from tests.features.messaging.world import Connection, rows


async def until(check: Callable[[], bool]) -> None:
    """Lets the worker in this event loop go on until it is so."""
    async with asyncio.timeout(10):
        while not check():  # noqa: ASYNC110 - what is waited for happens in PostgreSQL, which sets no event
            await asyncio.sleep(0.02)


class Flaky:
    """A mailer that answers as it is told, then like the outbox."""

    def __init__(self, outbox: OutboxMailer, *answers: Exception) -> None:
        self.outbox = outbox
        self.answers = list(answers)

    async def send(self, message: EmailMessage) -> str:
        if self.answers:
            raise self.answers.pop(0)
        return await self.outbox.send(message)

    async def close(self) -> None:
        pass


class Office:
    """A worker with an outbox of its own."""

    def __init__(self, db: Database, folder: Path) -> None:
        self.settings = Settings(
            data_dir=folder,
            app_url="https://loom.example.com/",
            mail_from="Loom <loom@example.com>",
            missed_message_seconds=0,
        )
        self.db = db
        self.outbox = OutboxMailer(folder / "outbox")
        self.push = WebPushSender(folder / "keys", contact="mailto:ops@example.com", allow_local=True)
        self.worker = self.with_mailer(self.outbox)

    def with_mailer(
        self, mailer: Any, pace: Pace | None = None, *, templates: Templates | None = None, **changed: Any
    ) -> MessageCourier:
        settings = self.settings.model_copy(update=changed)
        return MessageCourier(self.db, settings, mailer, self.push, templates or Templates(), pace)

    def smtp(self, url: str) -> SmtpMailer:
        """A mailer to a real server."""
        return SmtpMailer(url)

    async def drain(self) -> None:
        while await self.worker.work_once():
            pass

    def mails(self) -> list[EmailMessage]:
        return [self.outbox.read(entry.name) for entry in self.outbox.entries()]


def states(conn: Connection, message: UUID) -> dict[tuple[UUID, str], tuple[str, str | None]]:
    found = rows(
        conn,
        "select recipient_id, channel, state, reason from public.message_deliveries where message_id = %s",
        message,
    )
    return {(row["recipient_id"], row["channel"]): (row["state"], row["reason"]) for row in found}
