"""A courier leases what is due, asks once more whether to send it, sends, and records the outcome.

A worker may die at any line. Before the call outside, the lease is committed; after it, the outcome. Who dies between
the two leaves a lease that runs out, and the next worker sends again, mail with the same Message-ID.
"""

from __future__ import annotations

import asyncio
import logging
from abc import abstractmethod
from collections.abc import Sequence
from email.message import EmailMessage
from typing import Generic, TypeVar

from loom.core.settings import Settings
from loom.db.actor import Actor
from loom.db.database import Database, Tx
from loom.db.executor import Executor
from loom.delivery import queries
from loom.delivery.parcels import Device, Lease, Outcome, Parcel
from loom.jobs.leases import LeaseLoop, Pace
from loom.providers.email import Mailer
from loom.providers.email.templates import Templates
from loom.providers.errors import ProviderError, RetryableError
from loom.providers.push import PushGoneError, PushSender, PushTarget

log = logging.getLogger("loom.deliveries")

CHANNEL = "loom_deliveries"
_SERVICE = Actor.service("carry out deliveries")

P = TypeVar("P", bound=Parcel)


class Courier(LeaseLoop[Lease], Generic[P]):
    """One process's share of a queue. Several may run side by side. A queue says what it holds and how it is worded."""

    channel = CHANNEL

    def __init__(  # noqa: PLR0917 - what a worker is made of
        self,
        database: Database,
        settings: Settings,
        mailer: Mailer,
        push: PushSender,
        templates: Templates,
        pace: Pace | None = None,
    ) -> None:
        super().__init__(database, pace)
        self.settings = settings
        self.templates = templates
        self._mailer = mailer
        self._push = push

    @abstractmethod
    async def take(self, tx: Tx) -> Sequence[Lease]:
        """Takes what is due, other workers' expired leases included."""

    @abstractmethod
    async def open(self, q: Executor, lease: Lease, margin: float) -> P | None:
        """What the lease is for, if it still holds for `margin` seconds at least."""

    @abstractmethod
    async def finish(self, tx: Tx, parcel: P, outcome: Outcome) -> bool:
        """Records what became of it; False where the lease was lost and somebody else decides."""

    @abstractmethod
    def mail(self, parcel: P) -> EmailMessage:
        """The mail, named after the parcel."""

    @abstractmethod
    def notice(self, parcel: P) -> bytes:
        """What a device's service worker gets."""

    async def lease(self) -> Sequence[Lease]:
        """What is due."""
        return await self.database.run(_SERVICE, self.take)

    async def carry_out(self, lease: Lease) -> None:
        """One mail or notice."""
        margin = min(self.pace.longest_call, self.pace.lease / 2)
        parcel = await self.open(self.database.reader(_SERVICE), lease, margin)
        if parcel is not None:
            await self._record(parcel, await self._attempt(parcel))

    async def _attempt(self, parcel: P) -> Outcome:
        if parcel.refusal is not None:
            return Outcome(state="suppressed", reason=parcel.refusal)
        if parcel.attempt > self.pace.attempts:
            return Outcome(
                state="failed", reason="attempts_exhausted", error_message="no worker lived to the end of it"
            )
        if parcel.quiet_seconds is not None:
            return Outcome(state="pending", reason="quiet_hours", delay_seconds=parcel.quiet_seconds)
        return (await self._send(parcel)).without(parcel.mail_key)

    async def _send(self, parcel: P) -> Outcome:
        try:
            async with asyncio.timeout(self.pace.longest_call):
                if parcel.channel == "push":
                    return await self._to_devices(parcel)
                return Outcome(state="sent", provider_id=await self._mailer.send(self.mail(parcel)))
        except TimeoutError:
            return self._again(parcel, RetryableError("the provider took too long", reason="timeout"))
        except ProviderError as error:
            return self._again(parcel, error)

    def _again(self, parcel: P, error: ProviderError) -> Outcome:
        if isinstance(error, RetryableError) and parcel.attempt < self.pace.attempts:
            delay = self.pace.delay(parcel.attempt, error.retry_after)
            return Outcome(state="pending", reason=error.reason, error_message=str(error), delay_seconds=delay)
        return Outcome(state="failed", reason=error.reason, error_message=str(error))

    async def _to_devices(self, parcel: P) -> Outcome:
        """One delivery is for all devices of the person: sent if any of them took it."""
        devices = await queries.list_devices(self.database.reader(_SERVICE), parcel.recipient_id)
        notice = self.notice(parcel)
        answers = await asyncio.gather(*(self._to_device(device, notice) for device in devices))
        reached = [device.id for device, answer in zip(devices, answers, strict=True) if isinstance(answer, str)]
        gone = [device.id for device, answer in zip(devices, answers, strict=True) if isinstance(answer, PushGoneError)]
        errors = [answer for answer in answers if not isinstance(answer, str)]
        if reached:
            accepted = next(answer for answer in answers if isinstance(answer, str))
            outcome = Outcome(state="sent", provider_id=accepted)
        elif not errors:
            outcome = Outcome(state="suppressed", reason="no_subscription")
        else:
            outcome = self._again(parcel, min(errors, key=_weight))
        for error in errors:
            if error.reason == "push_key_refused":
                log.error("a push service refuses this installation's key: %s", error)
        return outcome.model_copy(update={"gone_devices": gone, "reached_devices": reached})

    async def _to_device(self, device: Device, notice: bytes) -> str | ProviderError:
        try:
            return await self._push.send(PushTarget(device.endpoint, device.p256dh, device.auth), notice)
        except ProviderError as error:
            return error
        except Exception as error:
            # What nobody foresaw of one device must not keep the notice from the others.
            log.exception("the notice for device %s failed", device.id)
            return RetryableError(f"nobody foresaw this: {type(error).__name__}", reason="push_failed")

    async def _record(self, parcel: P, outcome: Outcome) -> None:
        async def record(tx: Tx) -> bool:
            await queries.learn(tx, parcel, outcome)
            return await self.finish(tx, parcel, outcome)

        if not await self.database.run(_SERVICE, record):
            log.warning("%s outlived its lease; its outcome is another worker's to say", parcel.id)


def _weight(error: ProviderError) -> int:
    """The lightest answer decides: what may still work, then what is refused, then that a device is gone."""
    if isinstance(error, RetryableError):
        return 0
    return 2 if isinstance(error, PushGoneError) else 1
