"""The cursor of lists that are ordered by a name, with the id behind it."""

from __future__ import annotations

from uuid import UUID

from loom.core.errors import AppError
from loom.http import decode_cursor


def after_name(cursor: str | None) -> tuple[str, UUID] | None:
    """The name and id that a cursor stands for. Raises 422 `invalid_cursor`."""
    keys = decode_cursor(cursor, 2)
    if keys is None:
        return None
    try:
        return str(keys[0]), UUID(str(keys[1]))
    except ValueError as bad:
        raise AppError("invalid_cursor", 422, "The cursor is not one that this list has given.") from bad
