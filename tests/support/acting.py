"""Running SQL as somebody, the way a request does."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, Protocol
from uuid import UUID

import psycopg
from psycopg import sql
from psycopg.rows import DictRow, dict_row


class AsRole(Protocol):
    """`with as_role("anon") as conn: conn.execute(...)`: one transaction, committed unless it raises."""

    def __call__(self, role: str, **claims: Any) -> Any: ...


class AsUser(Protocol):
    """`with as_user(user_id) as conn: conn.execute(...)`: one transaction as `authenticated` with this subject."""

    def __call__(self, user_id: UUID | str) -> Any: ...


@contextmanager
def acting(conninfo: str, role: str, claims: dict[str, Any]) -> Iterator[psycopg.Connection[DictRow]]:
    """A transaction of the application's login role, scoped as `loom.db` scopes it."""
    with psycopg.connect(conninfo, row_factory=dict_row) as conn:
        conn.execute(
            "select set_config('role', %s, true), set_config('request.jwt.claims', %s, true)",
            [role, json.dumps({"role": role} | claims)],
        )
        yield conn


class OneTrip:
    """Acts as somebody; each statement is a transaction of its own, and all of it one round trip."""

    def __init__(self, conn: psycopg.Connection[DictRow], role: str, claims: dict[str, Any]) -> None:
        self._conn = conn
        self._scope = sql.SQL(
            "select set_config('role', {}, true), set_config('request.jwt.claims', {}, true); "
        ).format(role, json.dumps({"role": role} | claims))

    def execute(self, query: Any, params: Any = None) -> psycopg.Cursor[DictRow]:
        """What the statement answers. Statements that go together without a begin are one transaction."""
        cursor = psycopg.ClientCursor(self._conn, row_factory=dict_row)
        cursor.execute(self._scope + sql.SQL(query), params)
        cursor.nextset()
        return cursor


@contextmanager
def hurrying(conninfo: str) -> Iterator[AsRole]:
    """A door whose one connection stays, where whoever acts says one thing at a time: for very many short acts."""
    with psycopg.connect(conninfo, autocommit=True, row_factory=dict_row) as conn:

        @contextmanager
        def act(role: str, **claims: Any) -> Iterator[OneTrip]:
            yield OneTrip(conn, role, claims)

        yield act


@contextmanager
def standing(conninfo: str) -> Iterator[AsRole]:
    """A door whose one connection stays: `act("anon")` is a transaction on it. For many short acts of one thread."""
    with psycopg.connect(conninfo, autocommit=True, row_factory=dict_row) as conn:

        @contextmanager
        def act(role: str, **claims: Any) -> Iterator[psycopg.Connection[DictRow]]:
            with conn.transaction():
                conn.execute(
                    "select set_config('role', %s, true), set_config('request.jwt.claims', %s, true)",
                    [role, json.dumps({"role": role} | claims)],
                )
                yield conn

        yield act
