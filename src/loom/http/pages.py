"""Keyset lists: a page of items and the cursor that continues behind its last one."""

from __future__ import annotations

import base64
import json
from collections.abc import Sequence
from typing import Annotated, Generic, TypeVar

from fastapi import Query
from pydantic import BaseModel
from pydantic_core import PydanticCustomError

from loom.core.errors import AppError
from loom.http.inputs import check_text

T = TypeVar("T")

Scalar = str | int | float | bool | None

DEFAULT_LIMIT = 50
MAX_LIMIT = 200

Limit = Annotated[int, Query(ge=1, le=MAX_LIMIT, description="How many items at most.")]
Cursor = Annotated[
    str | None, Query(max_length=1000, description="`next_cursor` of the page before; without it, the first page.")
]


class Page(BaseModel, Generic[T]):
    """A page of a list. `next_cursor` is null on the last page."""

    items: list[T]
    next_cursor: str | None


def encode_cursor(values: Sequence[object]) -> str:
    """The keys of a page's last item, opaque to callers. Values that JSON lacks (ids, instants) travel as text."""
    text = json.dumps(list(values), default=str, separators=(",", ":"), ensure_ascii=False)
    return base64.urlsafe_b64encode(text.encode()).rstrip(b"=").decode()


def decode_cursor(text: str | None, size: int) -> list[Scalar] | None:
    """The keys that `encode_cursor` packed, `size` of them; None without a cursor. Raises 422 `invalid_cursor`."""
    if text is None:
        return None
    try:
        padded = text.encode("ascii") + b"=" * (-len(text) % 4)
        values: object = json.loads(base64.b64decode(padded, altchars=b"-_", validate=True))
    except (ValueError, RecursionError) as bad:
        raise _invalid_cursor() from bad
    if not isinstance(values, list):
        raise _invalid_cursor()
    keys: list[Scalar] = []
    for value in values:  # pyright: ignore[reportUnknownVariableType] - JSON is untyped until this loop has run
        if value is not None and not isinstance(value, str | int | float | bool):
            raise _invalid_cursor()
        if isinstance(value, str):
            try:
                check_text(value)
            except PydanticCustomError as bad:
                raise _invalid_cursor() from bad
        keys.append(value)
    if len(keys) != size:
        raise _invalid_cursor()
    return keys


def page_of(rows: Sequence[T], limit: int, *keys: str) -> Page[T]:
    """A page from `limit + 1` fetched rows: the extra one only says that there is more.

    `keys` are the attributes that the list is ordered by; they become the cursor.
    """
    items = list(rows[:limit])
    more = len(rows) > limit and bool(items)
    return Page[T](items=items, next_cursor=encode_cursor([getattr(items[-1], key) for key in keys]) if more else None)


def _invalid_cursor() -> AppError:
    return AppError(status=422, code="invalid_cursor", detail="The cursor is not one that this list has given.")
