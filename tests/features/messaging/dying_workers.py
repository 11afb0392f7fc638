"""Delivery workers that end by SIGKILL at a point they are told: one line on standard input for each, a fork for each.

What is imported once is there in every fork, so that hundreds of deaths take no longer than hundreds of connections.
"""

from __future__ import annotations

import asyncio
import os
import signal
import sys
from pathlib import Path
from typing import Any, NoReturn

import aiosmtplib

from loom.core.settings import Settings
from loom.db.database import Database
from loom.features.messaging import delivery_queries as queries
from loom.features.messaging.delivery import MessageCourier
from loom.jobs.leases import Pace
from loom.providers.email import SmtpMailer
from loom.providers.email.templates import Templates
from loom.providers.push import WebPushSender

at: dict[str, str] = {}
"""Where the present fork is to die."""


def die() -> NoReturn:
    os.kill(os.getpid(), signal.SIGKILL)
    raise AssertionError("unreachable")


async def _half_the_data(client: aiosmtplib.SMTP, *_args: Any, **_kwargs: Any) -> Any:
    await client.execute_command(b"DATA")
    protocol: Any = client.protocol
    protocol.transport.write(b"Subject: half of")
    await asyncio.sleep(0)
    die()


class Dying(SmtpMailer):
    async def send(self, message: Any) -> str:
        answer = await super().send(message)
        if at["point"] == "after 250":
            die()
        return answer


class DyingWorker(MessageCourier):
    async def _attempt(self, parcel: Any) -> Any:
        if at["point"] == "after lease":
            die()
        return await super()._attempt(parcel)

    async def _record(self, parcel: Any, outcome: Any) -> None:
        if at["point"] == "before mark":
            die()
        await super()._record(parcel, outcome)
        if at["point"] == "after mark":
            die()


async def work(conninfo: str, folder: Path, smtp: str) -> None:
    settings = Settings(data_dir=folder, mail_from="Loom <loom@example.com>", missed_message_seconds=0)
    push = WebPushSender(folder / "keys", contact="mailto:ops@example.com")
    if at["point"] == "during data":
        aiosmtplib.SMTP.data = _half_the_data  # type: ignore[method-assign]
    if at["point"] == "in lease":
        lease = queries.lease_deliveries

        async def lease_and_die(*args: Any) -> Any:
            await lease(*args)
            die()  # in the transaction, which has not been committed

        queries.lease_deliveries = lease_and_die  # type: ignore[assignment]
    async with await Database.open(conninfo) as database:
        worker = DyingWorker(database, settings, Dying(smtp), push, Templates(), Pace(batch=1, lease=300.0))
        await worker.work_once()


def main(conninfo: str, folder: str, smtp: str) -> None:
    for line in sys.stdin:
        child = os.fork()
        if child == 0:
            at["point"] = line.strip()
            asyncio.run(work(conninfo, Path(folder), smtp))
            os._exit(0)
        _, status = os.waitpid(child, 0)
        sys.stdout.write("killed\n" if os.WIFSIGNALED(status) else "survived\n")
        sys.stdout.flush()


main(*sys.argv[1:])
