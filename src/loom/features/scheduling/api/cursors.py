"""The cursors of lists that are not ordered by time: by a name with the id behind it, or by a number."""

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


def after_number(cursor: str | None) -> int:
    """The number that a cursor stands for; 0 for the first page. Raises 422 `invalid_cursor`."""
    keys = decode_cursor(cursor, 1)
    number = 0 if keys is None else keys[0]
    if isinstance(number, bool) or not isinstance(number, int) or not 0 <= number < 2**31:
        raise AppError("invalid_cursor", 422, "The cursor is not one that this list has given.")
    return number
