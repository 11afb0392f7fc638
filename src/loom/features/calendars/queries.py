"""The queries of calendars, typed. Each runs as whoever the executor acts for; functions decide what a token opens."""

from __future__ import annotations

from datetime import datetime
from uuid import UUID

from loom.db.executor import Executor
from loom.db.sql import load_queries
from loom.features.calendars.schemas import (
    CalendarLetter,
    Entry,
    Feed,
    FeedState,
    FeedToken,
    Link,
    OfferedSlot,
    UseLink,
)
from loom.http.cursors import After

SQL = load_queries(__package__)


async def create_feed(q: Executor, name: str | None) -> FeedToken:
    """A new feed of the caller's; 409 too_many_feeds."""
    return await q.fetch_one(SQL["create_feed"], {"name": name}, FeedToken)


async def list_feeds(q: Executor, after: After, limit: int) -> list[Feed]:
    """The caller's feeds, newest first."""
    return await q.fetch_all(SQL["list_feeds"], {"after_at": after.at, "after_id": after.id, "limit": limit}, Feed)


async def revoke_feed(q: Executor, feed_id: UUID) -> None:
    """It answers no more; NotFound for one that is not the caller's."""
    await q.execute(SQL["revoke_feed"], {"id": feed_id})


async def feed_state(q: Executor, token: str) -> FeedState:
    """Whether a feed has changed; 404, 410 feed_revoked. Notes that it was read, so not for a Reader."""
    return await q.fetch_one(SQL["feed_state"], {"token": token}, FeedState)


async def feed_entries(q: Executor, token: str) -> list[Entry]:
    """What a feed shows, by start."""
    return await q.fetch_all(SQL["feed_entries"], {"token": token}, Entry)


async def link_by_token(q: Executor, token: str) -> Link:
    """What a link would do; 404, 410 link_expired."""
    return await q.fetch_one(SQL["link_by_token"], {"token": token}, Link)


async def act_by_link(q: Executor, token: str, use: UseLink) -> Link:
    """The link after it has acted; 410 link_used, and what the action itself is refused with."""
    return await q.fetch_one(SQL["act_by_link"], {"token": token, **use.model_dump()}, Link)


async def slots_by_link(q: Executor, token: str, starts_from: datetime, starts_before: datetime) -> list[OfferedSlot]:
    """Where the session behind a link that moves it could go."""
    params = {"token": token, "starts_from": starts_from, "starts_before": starts_before}
    return await q.fetch_all(SQL["slots_by_link"], params, OfferedSlot)


async def prepare_letter(q: Executor, attendee_id: UUID) -> CalendarLetter | None:
    """The letter that is due about a seat; None when none is. Only for the service role."""
    return await q.find_one(SQL["prepare_letter"], {"attendee_id": attendee_id}, CalendarLetter)


async def letter_sent(q: Executor, letter: CalendarLetter, refused: str | None) -> None:
    """It went out, or was refused for good. Only for the service role."""
    params = {"attendee_id": letter.attendee_id, "sequence": letter.sequence, "refused": refused}
    await q.execute(SQL["letter_sent"], params)


async def forget_expired_links(q: Executor) -> int:
    """How many there were. Only for the service role."""
    return await q.fetch_value(SQL["forget_expired_links"], {})
