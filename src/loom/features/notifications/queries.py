"""What notifications ask of the database, as typed functions. Policies decide what is found."""

from __future__ import annotations

from uuid import UUID

from pydantic import BaseModel

from loom.core.errors import NotFound
from loom.db.executor import Executor
from loom.db.sql import load_queries
from loom.delivery import Lease, Outcome
from loom.features.notifications.letters import NoticeParcel
from loom.features.notifications.schemas import (
    AllRead,
    ChangePreferences,
    Choices,
    Notification,
    OlderPreferences,
    Preferences,
    Unsubscribed,
)
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
    older = await q.fetch_one(SQL["get_preferences"], {}, OlderPreferences)
    choices = await q.find_one(SQL["get_choices"], {}, Choices) or Choices()
    return Preferences(**older.model_dump(), **choices.model_dump())


async def change_preferences(q: Executor, change: ChangePreferences) -> Preferences:
    """The choices as they are now."""
    older = await q.fetch_one(SQL["change_preferences"], {"patch": change.changes()}, OlderPreferences)
    query = SQL["change_choices"] if change.choices else SQL["get_choices"]
    choices = await q.find_one(query, {"patch": change.changes()}, Choices) or Choices()
    return Preferences(**older.model_dump(), **choices.model_dump())


async def unsubscribe(q: Executor, token: str) -> Unsubscribed:
    """Switches mail off for whoever the link was made for; NotFound for a link that Loom did not make."""
    return Unsubscribed(topic=str(await q.fetch_value(SQL["unsubscribe"], {"token": token})))


async def remind_of_sessions(q: Executor) -> int:
    """Reminds of what begins soon, as the service; how many people."""
    return int(await q.fetch_value(SQL["remind_of_sessions"], {}))


async def lease_notices(q: Executor, batch: int, lease_seconds: float) -> list[Lease]:
    """Takes what is due, other workers' expired leases included."""
    return await q.fetch_all(SQL["lease_notices"], {"batch": batch, "lease_seconds": lease_seconds}, Lease)


async def load_notice(q: Executor, lease: Lease, margin_seconds: float) -> NoticeParcel | None:
    """None when the lease is lost, or will be before a call could end."""
    params = {"id": lease.id, "attempt": lease.attempt, "margin_seconds": margin_seconds}
    return await q.find_one(SQL["load_notice"], params, NoticeParcel)


async def finish_notice(q: Executor, parcel: NoticeParcel, outcome: Outcome) -> bool:
    """Records what came of an attempt; False when another worker has taken over."""
    values = {"id": parcel.id, "attempt": parcel.attempt, **outcome.columns}
    return await q.execute(SQL["finish_notice"], values) == 1
