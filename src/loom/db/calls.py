"""Calls of `*_json` functions: their text, and their answers as the bytes that PostgreSQL sent."""

from __future__ import annotations

from functools import cache
from typing import Any, LiteralString

from psycopg import AsyncConnection, AsyncCursor
from psycopg.abc import Buffer
from psycopg.adapt import AdaptersMap, Loader
from psycopg.rows import scalar_row


class RawJson(Loader):
    """JSON as the bytes that PostgreSQL sent."""

    def load(self, data: Buffer) -> bytes:
        return bytes(data)


def keep_json_raw(adapters: AdaptersMap) -> None:
    """Has JSON come as bytes."""
    for kind in ("json", "jsonb"):
        adapters.register_loader(kind, RawJson)


def raw_json_cursor(conn: AsyncConnection[Any]) -> AsyncCursor[Any]:
    """A cursor whose JSON comes as bytes."""
    cursor = conn.cursor(row_factory=scalar_row)
    keep_json_raw(cursor.adapters)
    return cursor


@cache
def call_of(function: LiteralString, count: int) -> LiteralString:
    """Calls the function with so many parameters."""
    return "select " + _invoke(function, count)


@cache
def hot_call_of(function: LiteralString, count: int) -> LiteralString:
    """The same, after the claims: they are its first parameter."""
    # CASE settles the order: the claims are there before the function runs.
    start: LiteralString = "select case when set_config('request.jwt.claims', %s, true) is not null then "
    return start + _invoke(function, count) + " end"


def _invoke(function: LiteralString, count: int) -> LiteralString:
    comma: LiteralString = ", "
    placeholders: list[LiteralString] = ["%s"] * count
    return function + "(" + comma.join(placeholders) + ")"
