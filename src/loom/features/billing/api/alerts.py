"""Routes of what is open between the books and a gateway, and of how they compare."""

from __future__ import annotations

from typing import Annotated

from fastapi import APIRouter, Query

from loom.features.billing import queries
from loom.features.billing.gateway_schemas import GatewayAlert, Reconciliation
from loom.http import Cursor, Limit, Page, Read, page_of
from loom.http.cursors import decode_after

router = APIRouter(prefix="/v1", tags=["gateway accounts"])

IsOpen = Annotated[
    bool | None, Query(alias="open", description="Only those that are open, or only those that are not.")
]


@router.get("/reconciliations")
async def list_reconciliations(read: Read, limit: Limit = 50, cursor: Cursor = None) -> Page[Reconciliation]:
    """How the books of your practice compared with its gateways, newest first."""
    found = await queries.list_reconciliations(read, after=decode_after(cursor), limit=limit)
    return page_of(found, limit, "created_at", "id")


@router.get("/gateway-alerts")
async def list_gateway_alerts(
    read: Read, is_open: IsOpen = None, limit: Limit = 50, cursor: Cursor = None
) -> Page[GatewayAlert]:
    """What somebody of your practice has to look at, newest first."""
    found = await queries.list_alerts(read, is_open=is_open, after=decode_after(cursor), limit=limit)
    return page_of(found, limit, "created_at", "id")
