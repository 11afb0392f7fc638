"""The cursor of most lists: newest first, by an instant and an id."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from uuid import UUID

from loom.core.errors import AppError
from loom.http.pages import decode_cursor


@dataclass(frozen=True, slots=True)
class After:
    """Where a page begins: behind the item with this instant and id. Both are None for the first page."""

    at: datetime | None
    id: UUID | None


def decode_after(cursor: str | None) -> After:
    """The two keys of a cursor that `page_of(rows, limit, "created_at", "id")` gave. Raises 422 `invalid_cursor`."""
    keys = decode_cursor(cursor, 2)
    if keys is None:
        return After(None, None)
    try:
        at = datetime.fromisoformat(str(keys[0]))
        if at.tzinfo is None:
            raise ValueError("an instant needs its offset")
        return After(at, UUID(str(keys[1])))
    except ValueError as bad:
        raise AppError("invalid_cursor", 422, "The cursor is not one that this list has given.") from bad
