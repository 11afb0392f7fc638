"""How the books stand against each gateway, as figures for whoever watches the server."""

from __future__ import annotations

from datetime import datetime
from uuid import UUID

from pydantic import BaseModel

from loom.db.actor import Actor
from loom.db.database import Database
from loom.features.billing.gateway_queries import SQL

WATCHING = Actor.service("tell figures of gateways to whoever watches the server")


class GatewayFigures(BaseModel):
    """One account. What the last comparison found is null where there was none yet."""

    account_id: UUID
    provider: str
    rows_there: int | None
    matched: int | None
    findings: int | None
    verify_seconds_p50: float | None
    verify_seconds_p99: float | None
    reconciled_until: datetime | None
    alerts_open: int
    outcomes_unknown: int
    events_open: int

    @property
    def completeness(self) -> float | None:
        """The share of what moved at the gateway that stands in the books the same; 1 where nothing moved."""
        if self.rows_there is None or self.matched is None:
            return None
        return self.matched / self.rows_there if self.rows_there else 1.0


async def gateway_figures(database: Database) -> list[GatewayFigures]:
    """Every account that is open, or was compared once."""
    return await database.reader(WATCHING).fetch_all(SQL["service_gateway_figures"], {}, GatewayFigures)
