"""Carries notices out by mail and to devices, as message deliveries are: lease, ask once more, send, record."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Sequence

from loom.core.settings import Settings
from loom.db.actor import Actor
from loom.db.database import Database, Tx
from loom.features.notifications import queries
from loom.features.notifications.letters import notice_mail, notice_push
from loom.features.notifications.schemas import Device, Lease, OpenNotice, Outcome
from loom.jobs.leases import LeaseLoop, Pace
from loom.providers.email import Mailer
from loom.providers.email.templates import Templates
from loom.providers.errors import ProviderError, RetryableError
from loom.providers.push import PushGoneError, PushSender, PushTarget

log = logging.getLogger("loom.notices")

_SERVICE = Actor.service("carry out notices")


class NoticeWorker(LeaseLoop[Lease]):
    """One process's share."""

    channel = "loom_deliveries"

    def __init__(  # noqa: PLR0917
        self,
        database: Database,
        settings: Settings,
        mailer: Mailer,
        push: PushSender,
        templates: Templates,
        pace: Pace | None = None,
    ) -> None:
        super().__init__(database, pace)
        self._settings = settings
        self._mailer = mailer
        self._push = push
        self._templates = templates

    async def lease(self) -> Sequence[Lease]:
        """What is due."""

        async def take(tx: Tx) -> list[Lease]:
            return await queries.lease_notices(tx, self.pace.batch, self.pace.lease)

        return await self.database.run(_SERVICE, take)

    async def carry_out(self, lease: Lease) -> None:
        """One notice."""
        margin = min(self.pace.longest_call, self.pace.lease / 2)
        notice = await queries.load_notice(self.database.reader(_SERVICE), lease, margin)
        if notice is None:
            return
        outcome = await self._attempt(notice)

        async def record(tx: Tx) -> bool:
            return await queries.finish_notice(tx, lease, outcome)

        if not await self.database.run(_SERVICE, record):
            log.warning("notice %s outlived its lease; its outcome is another worker's to say", lease.id)

    async def _attempt(self, notice: OpenNotice) -> Outcome:  # noqa: PLR0911 - one line for each way it can end
        if notice.refusal is not None:
            return Outcome(state="suppressed", reason=notice.refusal)
        if notice.attempt > self.pace.attempts:
            return Outcome(state="failed", reason="attempts_exhausted")
        if notice.quiet_seconds is not None:
            return Outcome(state="pending", reason="quiet_hours", delay_seconds=notice.quiet_seconds)
        try:
            async with asyncio.timeout(self.pace.longest_call):
                if notice.channel == "push":
                    return await self._to_devices(notice)
                mail = notice_mail(
                    notice,
                    self._templates,
                    sender=self._settings.mail_from,
                    base_url=self._settings.base_url,
                    app_url=self._settings.app_url,
                )
                return Outcome(state="sent", provider_id=await self._mailer.send(mail))
        except TimeoutError:
            return self._again(notice, RetryableError("the provider took too long", reason="timeout"))
        except ProviderError as error:
            return self._again(notice, error)

    def _again(self, notice: OpenNotice, error: ProviderError) -> Outcome:
        if isinstance(error, RetryableError) and notice.attempt < self.pace.attempts:
            delay = self.pace.delay(notice.attempt, error.retry_after)
            return Outcome(state="pending", reason=error.reason, error_message=str(error), delay_seconds=delay)
        return Outcome(state="failed", reason=error.reason, error_message=str(error))

    async def _to_devices(self, notice: OpenNotice) -> Outcome:
        """Sent if any device of the person took it."""
        devices = await queries.list_devices(self.database.reader(_SERVICE), notice.user_id)
        payload = notice_push(notice, app_url=self._settings.app_url)
        answers = await asyncio.gather(*(self._to_device(device, payload) for device in devices))
        gone = [device.id for device, answer in zip(devices, answers, strict=True) if isinstance(answer, PushGoneError)]
        if gone:

            async def retire(tx: Tx) -> None:
                await queries.retire_devices(tx, gone)

            await self.database.run(_SERVICE, retire)
        accepted = [answer for answer in answers if isinstance(answer, str)]
        if accepted:
            return Outcome(state="sent", provider_id=accepted[0])
        errors = [answer for answer in answers if isinstance(answer, ProviderError)]
        if not errors:
            return Outcome(state="suppressed", reason="no_subscription")
        return self._again(notice, next((one for one in errors if isinstance(one, RetryableError)), errors[0]))

    async def _to_device(self, device: Device, payload: bytes) -> str | ProviderError:
        try:
            return await self._push.send(PushTarget(device.endpoint, device.p256dh, device.auth), payload)
        except ProviderError as error:
            return error
