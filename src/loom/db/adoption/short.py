"""A change of the catalogue that nobody notices: it waits for its lock briefly, and tries again rather than queue."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any, LiteralString, cast

import psycopg
from psycopg import Connection

from loom.db.migrate import Migration, apply_migration

# Whoever waits for ACCESS EXCLUSIVE makes everybody wait who comes after.
_LOCK_TIMEOUT = "300ms"
_ATTEMPTS = 200


def run_short(conn: Connection[Any], statements: str) -> None:
    """Runs statements in a transaction of their own. psycopg.errors.LockNotAvailable after some minutes of trying."""

    def run() -> None:
        conn.execute(
            "select set_config('lock_timeout', %s, true), set_config('search_path', 'public', true)", [_LOCK_TIMEOUT]
        )
        conn.execute(cast("LiteralString", statements))

    _try(conn, run)


def short_migration(conn: Connection[Any], migration: Migration, *, before: Callable[[], None]) -> None:
    """A migration that finds its work done: it waits for no lock longer than that either.

    `before` goes before each try.
    """
    _try(conn, lambda: apply_migration(conn, migration, lock_timeout=_LOCK_TIMEOUT), before)


def _try(conn: Connection[Any], run: Callable[[], None], before: Callable[[], None] = lambda: None) -> None:
    for attempt in range(1, _ATTEMPTS + 1):
        try:
            before()
            with conn.transaction():
                run()
        except (psycopg.errors.LockNotAvailable, psycopg.errors.DeadlockDetected):
            if attempt == _ATTEMPTS:
                raise
            time.sleep(min(0.05 * attempt, 1.0))
        else:
            return
