"""Devices that take notices."""

from __future__ import annotations

from functools import cache
from pathlib import Path
from uuid import UUID

from fastapi import APIRouter
from starlette.responses import Response

from loom.features.messaging import queries, service
from loom.features.messaging.schemas import AddPushSubscription, PushKey, PushSubscription
from loom.http import AppServices, Cursor, Limit, Page, Read, SignedIn, Write, page_of, problems
from loom.http.cursors import decode_after
from loom.providers.push.keys import load_vapid_key, public_point

router = APIRouter(tags=["push"])


@cache
def _public_key(folder: Path) -> str:
    return public_point(load_vapid_key(folder).public_key())


@router.get("/push-key")
async def get_push_key(_: SignedIn, app: AppServices) -> PushKey:
    """The `applicationServerKey` that a browser subscribes with."""
    return PushKey(public_key=_public_key(app.settings.keys_dir))


@router.get("/push-subscriptions")
async def list_push_subscriptions(read: Read, limit: Limit = 50, cursor: Cursor = None) -> Page[PushSubscription]:
    """Your devices, newest first."""
    rows = await queries.list_push_subscriptions(read, decode_after(cursor), limit)
    return page_of(rows, limit, "created_at", "id")


@router.post("/push-subscriptions", status_code=201, response_model=PushSubscription)
async def add_push_subscription(body: AddPushSubscription, write: Write, app: AppServices) -> Response:
    """Take notices on a device. The first one switches push on in your notification settings.

    The address must be a push service's: https, and not inside a private network.
    """
    allow_local = app.settings.push_allow_private
    return await write.run(lambda tx: service.add_push_subscription(tx, body, allow_local=allow_local), status=201)


@router.delete("/push-subscriptions/{subscription_id}", status_code=204, responses=problems(404))
async def remove_push_subscription(subscription_id: UUID, write: Write) -> Response:
    """Send nothing to a device of yours any more."""
    return await write.run(lambda tx: queries.remove_push_subscription(tx, subscription_id))
