"""Carries deliveries out: leases what is due, asks once more whether to, sends, records one outcome per transaction.

A worker may die at any line. Before the call outside, the lease is committed; after it, the outcome. Who dies between
the two leaves a lease that runs out, and the next worker sends again, mail with the same Message-ID.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Sequence

from loom.core.settings import Settings
from loom.db.actor import Actor
from loom.db.database import Database, Tx
from loom.features.messaging import delivery_queries as queries
from loom.features.messaging.delivery_queries import Device, Lease, OpenDelivery, Outcome
from loom.features.messaging.letters import Letter, message_mail, message_notice
from loom.jobs.leases import LeaseLoop, Pace
from loom.providers.email import Mailer
from loom.providers.errors import ProviderError, RetryableError
from loom.providers.push import PushGoneError, PushSender, PushTarget

log = logging.getLogger("loom.deliveries")

CHANNEL = "loom_deliveries"
_SERVICE = Actor.service("carry out message deliveries")


class DeliveryWorker(LeaseLoop[Lease]):
    """One process's share of the work. Several may run side by side."""

    channel = CHANNEL

    def __init__(
        self, database: Database, settings: Settings, mailer: Mailer, push: PushSender, pace: Pace | None = None
    ) -> None:
        super().__init__(database, pace)
        self._settings = settings
        self._mailer = mailer
        self._push = push

    async def lease(self) -> Sequence[Lease]:
        """What is due."""

        async def take(tx: Tx) -> list[Lease]:
            return await queries.lease_deliveries(tx, self.pace.batch, self.pace.lease)

        return await self.database.run(_SERVICE, take)

    async def carry_out(self, lease: Lease) -> None:
        """One delivery."""
        delivery = await queries.load_delivery(
            self.database.reader(_SERVICE), lease, min(self.pace.longest_call, self.pace.lease / 2)
        )
        if delivery is not None:
            await self._record(lease, await self._attempt(delivery))

    async def _attempt(self, delivery: OpenDelivery) -> Outcome:
        if delivery.refusal is not None:
            return Outcome(state="suppressed", reason=delivery.refusal)
        if delivery.attempt > self.pace.attempts:
            return Outcome(
                state="failed", reason="attempts_exhausted", error_message="no worker lived to the end of it"
            )
        if delivery.quiet_seconds is not None:
            return Outcome(state="pending", reason="quiet_hours", delay_seconds=delivery.quiet_seconds)
        # Read as the recipient: what the policies hide from them by now goes to nobody.
        reader = self.database.reader(Actor.user(delivery.recipient_id))
        content = await queries.get_content(reader, delivery.message_id)
        if content is None:
            return Outcome(state="suppressed", reason="left")
        return await self._send(delivery, self._letter(delivery, content))

    async def _send(self, delivery: OpenDelivery, letter: Letter) -> Outcome:
        try:
            async with asyncio.timeout(self.pace.longest_call):
                if delivery.channel == "push":
                    return await self._notify(delivery, letter)
                return Outcome(state="sent", provider_id=await self._mailer.send(message_mail(letter)))
        except TimeoutError:
            return self._again(delivery, RetryableError("the provider took too long", reason="timeout"))
        except ProviderError as error:
            return self._again(delivery, error)

    def _again(self, delivery: OpenDelivery, error: ProviderError) -> Outcome:
        if isinstance(error, RetryableError) and delivery.attempt < self.pace.attempts:
            delay = self.pace.delay(delivery.attempt, error.retry_after)
            return Outcome(state="pending", reason=error.reason, error_message=str(error), delay_seconds=delay)
        return Outcome(state="failed", reason=error.reason, error_message=str(error))

    async def _notify(self, delivery: OpenDelivery, letter: Letter) -> Outcome:
        """One delivery is for all devices of the person: sent if any of them took it."""
        devices = await queries.list_devices(self.database.reader(_SERVICE), delivery.recipient_id)
        notice = message_notice(letter)
        answers = await asyncio.gather(*(self._notify_device(device, notice) for device in devices))
        reached = [device.id for device, answer in zip(devices, answers, strict=True) if isinstance(answer, str)]
        gone = [device.id for device, answer in zip(devices, answers, strict=True) if isinstance(answer, PushGoneError)]
        errors = [answer for answer in answers if not isinstance(answer, str)]
        if reached:
            accepted = next(answer for answer in answers if isinstance(answer, str))
            outcome = Outcome(state="sent", provider_id=accepted)
        elif not errors:
            outcome = Outcome(state="suppressed", reason="no_subscription")
        else:
            outcome = self._again(delivery, min(errors, key=_weight))
        for error in errors:
            if error.reason == "push_key_refused":
                log.error("a push service refuses this installation's key: %s", error)
        return outcome.model_copy(update={"gone_devices": gone, "reached_devices": reached})

    async def _notify_device(self, device: Device, notice: bytes) -> str | ProviderError:
        try:
            return await self._push.send(PushTarget(device.endpoint, device.p256dh, device.auth), notice)
        except ProviderError as error:
            return error

    async def _record(self, lease: Lease, outcome: Outcome) -> None:
        async def record(tx: Tx) -> bool:
            return await queries.finish_delivery(tx, lease, outcome)

        if not await self.database.run(_SERVICE, record):
            log.warning("delivery %s outlived its lease; its outcome is another worker's to say", lease.id)

    def _letter(self, delivery: OpenDelivery, content: str) -> Letter:
        return Letter(
            delivery_id=delivery.id,
            conversation_id=delivery.conversation_id,
            message_id=delivery.message_id,
            seq=delivery.message_seq,
            content=content,
            language=delivery.language,
            sender_name=delivery.sender_name,
            title=delivery.title,
            recipient_name=delivery.recipient_name,
            email=delivery.email,
            app_url=self._settings.app_url,
            mail_from=self._settings.mail_from,
            hide_content=delivery.hide_content,
            unsubscribe=f"{self._settings.base_url}/v1/unsubscribe/{delivery.unsubscribe_token}",
        )


def _weight(error: ProviderError) -> int:
    """The lightest answer decides: what may still work, then what is refused, then that a device is gone."""
    if isinstance(error, RetryableError):
        return 0
    return 2 if isinstance(error, PushGoneError) else 1
