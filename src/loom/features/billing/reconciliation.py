"""The books against the gateway's own list: compared, kept, and mended where the gateway only has to be asked."""

from __future__ import annotations

import json
from datetime import datetime, timedelta
from uuid import UUID

import structlog
from pydantic import BaseModel

from loom.core.clock import now
from loom.core.errors import AppError
from loom.core.settings import Settings
from loom.db.database import Database
from loom.features.billing import gateway_queries as gateways
from loom.features.billing.gateway_queries import SQL, Call
from loom.features.billing.gateway_schemas import Reconciliation
from loom.features.billing.inbox import Inbox, described
from loom.features.billing.service import HEARING, SENDING
from loom.providers.payments import Hint, Movement, open_gateway

_log = structlog.get_logger(__name__)
LOOK_BACK = timedelta(days=3)
"""How far a nightly run looks: a delivery that failed for a night is seen by the next."""


class AccountToReconcile(BaseModel):
    """An account that has had payments."""

    id: UUID


class Reconciler:
    """One for each run."""

    def __init__(self, database: Database, settings: Settings) -> None:
        self._db = database
        self._settings = settings

    async def accounts(self) -> list[UUID]:
        """Every account that may have moved money."""
        reader = self._db.reader(SENDING)
        return [one.id for one in await reader.fetch_all(SQL["service_reconcilable_accounts"], {}, AccountToReconcile)]

    async def run(self, account_id: UUID, since: datetime, until: datetime, *, mend: bool) -> Reconciliation:
        """Compares; with `mend`, first looks up what the gateway lists and the books lack. Never invents money."""
        account = await gateways.account_call(self._db.reader(SENDING), account_id)
        listed = await self._listed(account, since, until)
        found = await self._compare(account_id, since, until, listed)
        missing = {finding["provider_id"] for finding in found.findings if finding["kind"] == "missing_here"}
        # What an earlier comparison found is not in this list, and there is nothing to ask about it.
        unheard = [movement for movement in listed if movement.provider_id in missing]
        if not (mend and unheard):
            return found
        await self._mend(account_id, unheard)
        return await self._compare(account_id, since, until, listed)

    async def sweep(self, account_id: UUID, since: datetime) -> int:
        """Takes events that the gateway remembers and whose delivery was missed; how many there were."""
        account = await gateways.account_call(self._db.reader(SENDING), account_id)
        async with open_gateway(account.credentials, self._settings) as gateway:
            events = [event async for event in gateway.list_hints(since)]
        for event in reversed(events):
            try:
                await self._db.run(HEARING, lambda tx, event=event: gateways.receive(tx, account_id, event))
            except AppError as exc:
                # Such as a text that can't be stored: it keeps no other event, and no comparison, from being done.
                _log.warning(
                    "event not kept", account_id=str(account_id), event_id=event.event_id[:100], **described(exc)
                )
        return len(events)

    async def _listed(self, account: Call, since: datetime, until: datetime) -> list[Movement]:
        async with open_gateway(account.credentials, self._settings) as gateway:
            return [movement async for movement in gateway.list_movements(since, until)]

    async def _compare(
        self, account_id: UUID, since: datetime, until: datetime, listed: list[Movement]
    ) -> Reconciliation:
        rows = [
            {
                "kind": movement.kind,
                "provider_id": movement.provider_id,
                "amount_cents": movement.amount_cents,
                "currency": movement.currency,
                "status": movement.status,
                "at": movement.at.isoformat(),
                "charge_id": movement.charge_id,
            }
            for movement in listed
        ]
        asked = {"account_id": account_id, "since": since, "until": until, "rows": json.dumps(rows)}

        async def compare(tx: gateways.Executor) -> UUID:
            return await tx.fetch_value(SQL["service_reconcile_gateway"], asked)

        run_id = await self._db.run(HEARING, compare)
        return await self._db.reader(HEARING).fetch_one(
            SQL["service_get_reconciliation"], {"id": run_id}, Reconciliation
        )

    async def _mend(self, account_id: UUID, movements: list[Movement]) -> None:
        inbox = Inbox(self._db, self._settings)
        for movement in movements:
            if movement.kind == "charge":
                hint = Hint("intent", movement.provider_intent_id or movement.provider_id, movement.reference)
            else:
                hint = Hint("refund", movement.provider_id, movement.reference, parent_id=movement.charge_id)
            await inbox.follow(account_id, hint)


def days_before(days: int) -> tuple[datetime, datetime]:
    """A time that ends now."""
    until = now()
    return until - timedelta(days=days), until
