"""What gateways told of and what nobody has told of yet: events of the inbox, and the repair of unknown outcomes."""

from __future__ import annotations

import json
import traceback
from collections.abc import Awaitable, Callable
from datetime import datetime
from pathlib import Path
from typing import Any
from uuid import UUID

import structlog
from pydantic import BaseModel

from loom.core.errors import AppError
from loom.core.settings import Settings
from loom.db.database import Database
from loom.features.billing import gateway_queries as gateways
from loom.features.billing.cards import Cards
from loom.features.billing.gateway_queries import SQL
from loom.features.billing.gateway_schemas import WebhookEvent
from loom.features.billing.service import HEARING, SENDING, Billing
from loom.providers.errors import ProviderError
from loom.providers.payments import (
    GatewayRefusedError,
    Hint,
    RefundOrder,
    UnknownStateError,
    open_gateway,
    webhook_reader,
)

_log = structlog.get_logger(__name__)


class EventName(BaseModel):
    """An event of the inbox, by its id."""

    id: UUID


class Inbox:
    """One for each job."""

    def __init__(self, database: Database, settings: Settings) -> None:
        self._db = database
        self._settings = settings
        self._billing = Billing(database, settings)
        self._cards = Cards(database, settings)

    async def handle_event(self, event_id: UUID) -> None:
        """Looks up what an event of the inbox speaks of. Doing it again, or at the same time, changes nothing more."""
        stored = await gateways.stored_event(self._db.reader(HEARING), event_id)
        reader = webhook_reader(stored.provider) if stored is not None else None
        if stored is None or reader is None or stored.status in ("handled", "ignored"):
            return
        try:
            hint = reader.stored(json.loads(stored.payload)).hint
            outcome = None if hint is None else await self.follow(stored.account_id, hint)
        except Exception as exc:
            # Counted whatever it was: what can't be handled at all must not be tried for ever.
            problem, clear = _problem(exc), _is_clear(exc)
            status = "failed" if clear else "received"
            await self._db.run(HEARING, lambda tx: gateways.finish_event(tx, event_id, status, None, problem))
            if not clear:
                raise
            return
        ended, told = ("ignored", "not followed") if hint is None else ("handled", outcome)
        await self._db.run(HEARING, lambda tx: gateways.finish_event(tx, event_id, ended, told))

    async def replay(
        self, ids: list[UUID] | None, account_id: UUID | None, since: datetime | None, statuses: list[str]
    ) -> list[WebhookEvent]:
        """Handles events once more, by hand, and says what came of each. What is booked already stays booked once."""
        wanted = {"ids": ids, "account_id": account_id, "since": since, "statuses": statuses}

        async def open_again(tx: gateways.Executor) -> list[UUID]:
            return [each.id for each in await tx.fetch_all(SQL["service_replay_webhooks"], wanted, EventName)]

        opened = await self._db.run(HEARING, open_again)
        for event_id in opened:
            try:
                await self.handle_event(event_id)
            except Exception as exc:  # noqa: BLE001 - one event keeps the others from nothing
                _log.warning("event failed", id=str(event_id), **described(exc))
                problem = _problem(exc)
                await self._db.run(
                    HEARING,
                    lambda tx, event_id=event_id, problem=problem: gateways.finish_event(
                        tx, event_id, "failed", None, problem
                    ),
                )
        return await self._db.reader(HEARING).fetch_all(SQL["service_list_events"], {"ids": opened}, WebhookEvent)

    async def follow(self, account_id: UUID, hint: Hint) -> str:
        """Looks at what something speaks of. It is never believed itself: it is a reason to look, no more."""
        if hint.kind in ("intent", "checkout"):
            intent_id = await gateways.find_intent(self._db.reader(HEARING), account_id, hint)
            named = hint.provider_id if hint.kind == "intent" else None
            return "unknown_intent" if intent_id is None else await self._billing.check_intent(intent_id, named)
        if hint.kind == "refund":
            return await self._follow_refund(account_id, hint)
        if hint.kind == "setup":
            setup_id = await gateways.find_setup(self._db.reader(HEARING), account_id, hint)
            return "unknown_setup" if setup_id is None else await self._cards.check_setup(setup_id)
        return await self._follow_method(account_id, hint)

    async def _follow_refund(self, account_id: UUID, hint: Hint) -> str:
        account = await gateways.account_call(self._db.reader(SENDING), account_id)
        order = RefundOrder(hint.reference or "", 0, "", hint.parent_id or "", provider_refund_id=hint.provider_id)
        try:
            async with open_gateway(account.credentials, self._settings) as gateway:
                said = await gateway.look_up_refund(order)
        except GatewayRefusedError as refused:
            if refused.reason != "resource_missing":
                raise
            said = None
        if said is None:
            return "unknown_there"
        return await self._db.run(HEARING, lambda tx: gateways.record_refund_news(tx, account_id, said))

    async def _follow_method(self, account_id: UUID, hint: Hint) -> str:
        account = await gateways.account_call(self._db.reader(SENDING), account_id)
        async with open_gateway(account.credentials, self._settings) as gateway:
            said = await gateway.look_up_method(hint.provider_id)
        return await self._db.run(
            HEARING, lambda tx: gateways.record_method_news(tx, account_id, hint.provider_id, said)
        )

    async def repair(self, limit: int = 50) -> int:
        """Asks about everything that is due; how many there were."""
        due = await self._db.run(SENDING, lambda tx: gateways.take_due_checks(tx, limit))
        act: dict[str, Callable[[UUID], Awaitable[object]]] = {
            "intent": self._billing.check_intent,
            "refund": self._billing.send_refund,
            "event": self.handle_event,
            "setup": self._cards.check_setup,
        }
        for one in due:
            try:
                await act[one.kind](one.id)
            except Exception as exc:  # noqa: BLE001 - whatever it was, it keeps nobody else waiting
                _log.warning("repair failed", kind=one.kind, id=str(one.id), **described(exc))
                await self._put_off(one, exc)
        return len(due)

    async def _put_off(self, one: gateways.DueCheck, problem: Exception) -> None:
        """What could not be asked about is asked about later, and later still, as if the answer had been lost."""
        told, reason = _problem(problem), getattr(problem, "reason", "outcome_unknown")
        try:
            if one.kind == "intent":
                await self._db.run(HEARING, lambda tx: gateways.record_unknown(tx, one.id, told, reason))
            elif one.kind == "refund":
                await self._db.run(HEARING, lambda tx: gateways.record_refund_unknown(tx, one.id, told, reason))
            elif one.kind == "setup":
                await self._cards.put_off(one.id, told)
        except Exception as exc:  # noqa: BLE001 - as above
            _log.warning("repair not put off", kind=one.kind, id=str(one.id), **described(exc))


def described(exc: Exception) -> dict[str, Any]:
    """What a log is told of a failure that stops nothing; of one that nobody foresaw, where it came from too.

    Places alone: the values at them may be keys.
    """
    if isinstance(exc, (AppError, ProviderError)):
        return {"problem": _problem(exc)}
    places = [f"{Path(at.filename).name}:{at.lineno}" for at in traceback.extract_tb(exc.__traceback__)]
    return {"problem": _problem(exc), "places": " ".join(places[-20:])}


def _is_clear(exc: Exception) -> bool:
    """Whether handling an event again can't end otherwise."""
    return isinstance(exc, UnknownStateError) or (isinstance(exc, AppError) and exc.status < 500 and exc.code != "busy")


def _problem(exc: Exception) -> str:
    """In a word what went wrong; of what nobody foresaw only the name, since its text may hold anything."""
    if isinstance(exc, AppError):
        return f"{exc.code}: {exc.detail}"
    if isinstance(exc, ProviderError):
        return f"{exc.reason}: {exc}"
    return f"unexpected: {type(exc).__name__}"
