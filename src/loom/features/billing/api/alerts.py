"""Routes of what is open between the books and a gateway, of how they compare, and of the inbox."""

from __future__ import annotations

from typing import Annotated
from uuid import UUID

from fastapi import APIRouter, Query
from starlette.responses import Response

from loom.features.billing import queries
from loom.features.billing.gateway_schemas import EventStatus, GatewayAlert, Reconciliation, WebhookEvent
from loom.http import Cursor, Limit, Page, Read, Write, page_of, problems
from loom.http.cursors import decode_after

router = APIRouter(prefix="/v1", tags=["gateway accounts"])

IsOpen = Annotated[
    bool | None, Query(alias="open", description="Only those that are open, or only those that are not.")
]

Handled = Annotated[EventStatus | None, Query(alias="status", description="Only those in this state.")]
OfAccount = Annotated[UUID | None, Query(alias="gateway_account_id", description="Only those of this account.")]


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


@router.get("/webhook-events")
async def list_webhook_events(
    read: Read, status: Handled = None, account_id: OfAccount = None, limit: Limit = 50, cursor: Cursor = None
) -> Page[WebhookEvent]:
    """What gateways told of, newest first, without the bodies. For admins."""
    found = await queries.list_events(
        read, status=status, account_id=account_id, after=decode_after(cursor), limit=limit
    )
    return page_of(found, limit, "received_at", "id")


@router.get("/webhook-events/{event_id}", responses=problems(404))
async def get_webhook_event(event_id: UUID, read: Read) -> WebhookEvent:
    """One event of the inbox. For admins."""
    return await queries.get_event(read, event_id)


@router.post("/webhook-events/{event_id}/replay", status_code=202, response_model=WebhookEvent, responses=problems(404))
async def replay_webhook_event(event_id: UUID, write: Write) -> Response:
    """Have the worker handle an event once more. What it tells of is looked up anew, so nothing is booked twice.

    For admins; who asked, and when, is kept with the event.
    """
    return await write.run(lambda tx: queries.replay_event(tx, event_id), status=202)
