"""Private feeds: given out and revoked by their owner, read by calendar applications."""

from __future__ import annotations

import asyncio
from email.utils import format_datetime, parsedate_to_datetime
from typing import Annotated
from uuid import UUID

from fastapi import APIRouter, Header, Path
from starlette.responses import Response

from loom.db.database import Tx
from loom.features.calendars import ics, queries, service
from loom.features.calendars.schemas import CreateFeed, Entry, Feed, FeedState, NewFeed
from loom.http import AppServices, Cursor, Limit, Page, PublicWrite, RateLimit, Read, Write, page_of, problems
from loom.http.cursors import decode_after

router = APIRouter(tags=["calendars"])

Token = Annotated[str, Path(min_length=1, max_length=200, pattern=r"^[A-Za-z0-9_-]+$")]


@router.post("/calendar-feeds", status_code=201, response_model=NewFeed, responses=problems(409))
async def create_feed(body: CreateFeed, write: Write, app: AppServices) -> Response:
    """A private address under which a calendar application reads one's sessions, as coach and as client.

    The address is shown this once. A repeat with an Idempotency-Key makes another one, since answers that hold a secret
    are not kept.
    """
    return await write.run(
        lambda tx: service.create_feed(tx, body.name, app.settings),
        status=201,
        location=lambda feed: f"/v1/calendar-feeds/{feed.id}",
        remember=False,
    )


@router.get("/calendar-feeds")
async def list_feeds(read: Read, limit: Limit = 50, cursor: Cursor = None) -> Page[Feed]:
    """The feeds that one has given out, newest first, with when each was last read."""
    return page_of(await queries.list_feeds(read, decode_after(cursor), limit + 1), limit, "created_at", "id")


@router.delete("/calendar-feeds/{feed_id}", status_code=204, responses=problems(404))
async def revoke_feed(feed_id: UUID, write: Write) -> Response:
    """Revoke a feed: its address answers 410 from now on. Twice changes nothing more."""
    return await write.run(lambda tx: queries.revoke_feed(tx, feed_id))


@router.get(
    "/feeds/{token}/calendar.ics",
    responses=problems(404, 410)
    | {
        200: {"description": "The calendar.", "content": {"text/calendar": {"schema": {"type": "string"}}}},
        304: {"description": "The copy that the caller has is still good."},
    },
    response_class=Response,
    dependencies=[RateLimit("calendar_feed", 600, per=60)],
)
async def read_feed(
    token: Token,
    write: PublicWrite,
    if_none_match: Annotated[str | None, Header(max_length=2000)] = None,
    if_modified_since: Annotated[str | None, Header(max_length=100)] = None,
) -> Response:
    """One's sessions as iCalendar, for applications that subscribe by address.

    Answers 304 to `If-None-Match` or `If-Modified-Since` while nothing has changed, and 410 once it is revoked.
    """
    since = _seconds(if_modified_since)

    async def look(tx: Tx) -> tuple[FeedState, list[Entry] | None]:
        return await service.read_feed(tx, token, if_none_match, since)

    state, entries = await write.database.run(write.actor, look)
    headers = {
        "ETag": service.etag(state),
        "Last-Modified": format_datetime(state.changed_at, usegmt=True),
        "Cache-Control": "private, no-cache",
    }
    if entries is None:
        return Response(status_code=304, headers=headers)
    # Some tenths of a second for thousands of sessions: other requests need not wait for it.
    body = await asyncio.to_thread(ics.feed, state, entries)
    headers["Content-Disposition"] = 'inline; filename="sessions.ics"'
    return Response(body, headers=headers, media_type="text/calendar; charset=utf-8")


def _seconds(date: str | None) -> float | None:
    """A date of HTTP as seconds; None for what is none, which RFC 9110 says to pass over."""
    if date is None:
        return None
    try:
        return parsedate_to_datetime(date).timestamp()
    except (ValueError, OverflowError):
        return None
