"""What gateways told of and what nobody has told of yet: events of the inbox, and the repair of unknown outcomes."""

from __future__ import annotations

import json
from collections.abc import Awaitable, Callable
from datetime import datetime
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
from loom.providers.payments import Hint, RefundOrder, UnknownStateError, open_gateway, webhook_reader

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
        hint = reader.stored(json.loads(stored.payload)).hint
        if hint is None:
            await self._db.run(HEARING, lambda tx: gateways.finish_event(tx, event_id, "ignored", "not followed"))
            return
        try:
            outcome = await self.follow(stored.account_id, hint)
        except UnknownStateError as exc:
            problem = f"{exc.reason}: {exc}"
            await self._db.run(HEARING, lambda tx: gateways.finish_event(tx, event_id, "failed", None, problem))
            return
        except AppError as exc:
            if exc.status >= 500 or exc.code == "busy":
                raise
            problem = f"{exc.code}: {exc.detail}"
            await self._db.run(HEARING, lambda tx: gateways.finish_event(tx, event_id, "failed", None, problem))
            return
        await self._db.run(HEARING, lambda tx: gateways.finish_event(tx, event_id, "handled", outcome))

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
            except (AppError, ProviderError) as exc:
                problem = str(exc)
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
        async with open_gateway(account.credentials, self._settings) as gateway:
            said = await gateway.look_up_refund(order)
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
            except (AppError, ProviderError) as problem:
                # What can't be asked about now stays due, and keeps nobody else waiting.
                _log.warning("repair failed", kind=one.kind, id=str(one.id), problem=str(problem))
        return len(due)
