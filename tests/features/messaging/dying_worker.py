"""A delivery worker that hands mail over and then hangs, to be killed there."""

from __future__ import annotations

import asyncio
import sys
from email.message import EmailMessage
from pathlib import Path

from loom.core.settings import Settings
from loom.db.database import Database
from loom.features.messaging.delivery import MessageCourier
from loom.providers.email import OutboxMailer
from loom.providers.email.templates import Templates
from loom.providers.push import WebPushSender


class Hanging(OutboxMailer):
    """Puts the mail out and never comes back."""

    async def send(self, message: EmailMessage) -> str:
        await super().send(message)
        sys.stdout.write("handed over\n")
        sys.stdout.flush()
        await asyncio.Event().wait()
        return ""


async def main(conninfo: str, outbox: Path) -> None:
    """Runs until killed."""
    settings = Settings(data_dir=outbox.parent, mail_from="Loom <loom@example.com>", missed_message_seconds=0)
    push = WebPushSender(outbox.parent / "keys", contact="mailto:ops@example.com")
    async with await Database.open(conninfo) as database:
        await MessageCourier(database, settings, Hanging(outbox), push, Templates()).run(asyncio.Event())


asyncio.run(main(sys.argv[1], Path(sys.argv[2])))
