"""Goes through a table by its ids, a short transaction at a time."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any, LiteralString, cast

import psycopg
from psycopg import Connection, sql

# A batch holds the rows that it changes until it commits: that is how long somebody may wait for one.
_SECONDS = 0.2
_ATTEMPTS = 50
# Shorter than PostgreSQL's own look for deadlocks (a second): of two that wait for each other, this one gives way.
_LOCK_TIMEOUT = "700ms"

_MET_SOMEBODY = (
    psycopg.errors.LockNotAvailable,
    psycopg.errors.DeadlockDetected,
    psycopg.errors.SerializationFailure,
    psycopg.errors.ForeignKeyViolation,
)


def walk(conn: Connection[Any], table: str, statement: Callable[[str], str], *, lock_first: str | None = None) -> int:
    """Runs `statement(condition)` for ranges of ids and returns how many rows were looked at.

    In the condition `{}` stands for the column that carries the id. `lock_first` is a statement with `{within}` that
    goes before it in the same transaction.
    """
    name = sql.SQL(".").join(sql.Identifier(part) for part in table.split("."))
    upto: LiteralString = (
        'select max(r.id::text collate "C"), count(*) from (select id from {} where id > {} order by id limit {}) as r'
    )
    last = "00000000-0000-0000-0000-000000000000"
    size, total = 200, 0
    while True:
        began = time.perf_counter()
        row = conn.execute(sql.SQL(upto).format(name, sql.Literal(last), sql.Literal(size))).fetchone()
        if row is None or row[0] is None:
            return total
        within = f"({{}} > '{last}' and {{}} <= '{row[0]}')"
        condition = within.replace("{}", "{0}")
        texts = [statement(condition)]
        if lock_first is not None:
            texts.insert(0, lock_first.replace("{within}", condition.format("c.id")))
        run_batch(conn, texts)
        total += row[1]
        last = str(row[0])
        spent = time.perf_counter() - began
        size = max(50, min(20_000, int(size * min(2.0, _SECONDS / max(spent, 0.001)))))


def run_batch(conn: Connection[Any], texts: list[str]) -> None:
    """One short transaction. It gives way when it meets somebody else's locks the other way round, or when what it
    read is deleted before it has written what points there.
    """
    for attempt in range(1, _ATTEMPTS + 1):
        try:
            with conn.transaction():
                conn.execute(
                    "select set_config('lock_timeout', %s, true), set_config('search_path', '', true)", [_LOCK_TIMEOUT]
                )
                for text in texts:
                    conn.execute(cast("LiteralString", text))
        except _MET_SOMEBODY:
            if attempt == _ATTEMPTS:
                raise
            time.sleep(0.05 * attempt)
        else:
            return
