"""Running SQL as somebody, the way a request does."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, Protocol
from uuid import UUID

import psycopg
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
