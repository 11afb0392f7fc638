"""What notifications ask of the database, as typed functions. Policies decide what is found."""

from __future__ import annotations

from uuid import UUID

from pydantic import BaseModel

from loom.core.errors import NotFound
from loom.db.executor import Executor
from loom.db.sql import load_queries
from loom.features.notifications.schemas import AllRead, ChangePreferences, Notification, Preferences
from loom.http.cursors import After

SQL = load_queries("loom.features.notifications")


class Listed(BaseModel):
    """A page's items, one more than asked for where there are more, and the count of all unread ones."""

    unread_count: int
    items: list[Notification]


async def list_notifications(q: Executor, *, unread: bool, after: After, limit: int) -> Listed:
    """The caller's notifications that are due and not over, newest first."""
    return await q.fetch_one(
        SQL["list_notifications"],
        {"unread": unread, "after_at": after.at, "after_id": after.id, "limit": limit + 1},
        Listed,
    )


async def get_notification(q: Executor, notification_id: UUID) -> Notification:
    """One notification of the caller."""
    return await q.fetch_one(SQL["get_notification"], {"id": notification_id}, Notification)


async def read_notification(q: Executor, notification_id: UUID) -> Notification:
    """Marks one as read; the first time stays."""
    return await q.fetch_one(SQL["read_notification"], {"id": notification_id}, Notification)


async def read_all_notifications(q: Executor) -> AllRead:
    """Marks all that are due as read."""
    return AllRead(marked=await q.execute(SQL["read_all_notifications"], {}))


async def delete_notification(q: Executor, notification_id: UUID) -> None:
    """NotFound when there was none to delete."""
    if await q.execute(SQL["delete_notification"], {"id": notification_id}) == 0:
        raise NotFound


async def get_preferences(q: Executor) -> Preferences:
    """The caller's choices."""
    return await q.fetch_one(SQL["get_preferences"], {}, Preferences)


async def change_preferences(q: Executor, change: ChangePreferences) -> Preferences:
    """The choices as they are now."""
    return await q.fetch_one(SQL["change_preferences"], {"patch": change.changes()}, Preferences)
