"""Routes of notifications and of the choices about them."""

from __future__ import annotations

from typing import Annotated
from uuid import UUID

from fastapi import APIRouter, Path, Query
from starlette.requests import Request
from starlette.responses import Response

from loom.core.errors import AppError
from loom.features.notifications import queries
from loom.features.notifications.schemas import (
    AllRead,
    ChangePreferences,
    Notification,
    NotificationPage,
    Preferences,
    Unsubscribed,
)
from loom.features.notifications.unsubscribe_page import page
from loom.http import Cursor, Limit, PublicWrite, RateLimit, Read, Write, page_of, problems
from loom.http.cursors import decode_after

router = APIRouter(prefix="/v1")
notices = APIRouter(prefix="/notifications", tags=["notifications"])

Token = Annotated[str, Path(min_length=1, max_length=200)]
Unread = Annotated[bool, Query(description="Only those that are unread.")]


@notices.get("")
async def list_notifications(
    read: Read, unread: Unread = False, limit: Limit = 50, cursor: Cursor = None
) -> NotificationPage:
    """What you were told, newest first, with the count of all that is unread."""
    listed = await queries.list_notifications(read, unread=unread, after=decode_after(cursor), limit=limit)
    found = page_of(listed.items, limit, "created_at", "id")
    return NotificationPage(items=found.items, next_cursor=found.next_cursor, unread_count=listed.unread_count)


@notices.get("/preferences", responses=problems(404))
async def get_notification_preferences(read: Read) -> Preferences:
    """Where you want to hear of what."""
    return await queries.get_preferences(read)


@notices.patch("/preferences", response_model=Preferences, responses=problems(404))
async def change_notification_preferences(body: ChangePreferences, write: Write) -> Response:
    """Change where you want to hear of what, and your quiet hours."""
    return await write.run(lambda tx: queries.change_preferences(tx, body))


@notices.post("/read-all", response_model=AllRead)
async def read_all_notifications(write: Write) -> Response:
    """Mark everything as read that is there now."""
    return await write.run(queries.read_all_notifications)


@notices.get("/{notification_id}", responses=problems(404))
async def get_notification(notification_id: UUID, read: Read) -> Notification:
    """One notification of yours."""
    return await queries.get_notification(read, notification_id)


@notices.post("/{notification_id}/read", response_model=Notification, responses=problems(404))
async def read_notification(notification_id: UUID, write: Write) -> Response:
    """Mark a notification as read. The first time stays."""
    return await write.run(lambda tx: queries.read_notification(tx, notification_id))


@notices.delete("/{notification_id}", status_code=204, responses=problems(404))
async def delete_notification(notification_id: UUID, write: Write) -> Response:
    """Put a notification away for good."""
    return await write.run(lambda tx: queries.delete_notification(tx, notification_id))


@router.get("/unsubscribe/{token}", include_in_schema=False)
async def show_unsubscribe(token: Token) -> Response:  # noqa: ARG001 - the page posts to its own address
    """A page with one button. Only pressing it changes something."""
    return page("ask")


@router.post(
    "/unsubscribe/{token}",
    tags=["notifications"],
    response_model=Unsubscribed,
    responses=problems(404),
    dependencies=[RateLimit("unsubscribe", 60, per=60)],
)
async def unsubscribe(token: Token, request: Request, write: PublicWrite) -> Response:
    """Switch off the kind of mail that the link came with (RFC 8058). Needs no account; whatever is in the body."""
    in_browser = "text/html" in request.headers.get("accept", "")
    try:
        answer = await write.run(lambda tx: queries.unsubscribe(tx, token), remember=False)
    except AppError as refused:
        if in_browser and refused.status == 404:
            return page("unknown")
        raise
    return page("done") if in_browser else answer


router.include_router(notices)
