"""What a request does with feeds."""

from __future__ import annotations

import hashlib

from loom.core.settings import Settings
from loom.db.executor import Executor
from loom.features.calendars import ics, queries
from loom.features.calendars.schemas import Entry, FeedState, NewFeed


async def create_feed(q: Executor, name: str | None, settings: Settings) -> NewFeed:
    """A new feed with its address."""
    made = await queries.create_feed(q, name)
    url = f"{settings.base_url}/v1/feeds/{made.token}/calendar.ics"
    return NewFeed(id=made.id, url=url, webcal_url="webcal:" + url.partition(":")[2])


def etag(state: FeedState) -> str:
    """Names the bytes of a feed: what it shows, and how Loom writes that."""
    return '"' + hashlib.sha256(f"{ics.FORMAT}:{state.content_hash}".encode()).hexdigest()[:32] + '"'


def has_it(state: FeedState, if_none_match: str | None, if_modified_since: float | None) -> bool:
    """Whether the caller's copy is still good. By RFC 9110 a tag, where there is one, is all that counts."""
    if if_none_match is not None:
        known = {tag.strip().removeprefix("W/") for tag in if_none_match.split(",")}
        return "*" in known or etag(state) in known
    return if_modified_since is not None and state.changed_at.timestamp() <= if_modified_since


async def read_feed(
    q: Executor, token: str, if_none_match: str | None, if_modified_since: float | None
) -> tuple[FeedState, list[Entry] | None]:
    """The state of a feed, and what it shows unless the caller has it."""
    state = await queries.feed_state(q, token)
    if has_it(state, if_none_match, if_modified_since):
        return state, None
    return state, await queries.feed_entries(q, token)
