"""Which locks an adoption takes, and for how long by a rate that is measured there and then."""

from __future__ import annotations

import time
from dataclasses import dataclass
from typing import Any

import psycopg
from psycopg import Connection, sql

_SAMPLE = 20_000

# What the migration does to a row of a table, in rows written: updates, rows added beside it, indexes built anew, words
# for the search. Chosen so that the estimate came to what 200,000 sessions, payments and messages took, which
# bench/adoption.py lays side by side. A table that is not named is locked, but its rows are only looked at.
_WRITES = {
    "sessions": 9.0,
    "payments": 9.0,
    "messages": 12.0,
    "message_read_receipts": 4.0,
    "message_reactions": 7.0,
    "message_attachments": 10.0,
    "conversation_participants": 12.0,
    "conversations": 2.0,
    "users": 1.5,
}
# A row of a temporary table costs neither write-ahead log nor checks of foreign keys.
_LOGGED = 2.5


@dataclass(frozen=True, slots=True)
class Lock:
    """`seconds` is an estimate: rows by what is written for each, at the rate measured. All are held until the end."""

    table: str
    lock: str
    rows: int
    seconds: float


def measure_locks(conn: Connection[Any], rows: dict[str, int], beside: list[Lock]) -> list[Lock]:
    """One entry a table, the largest first, with those that are given. Writes into temporary tables only."""
    found = [
        Lock(table, "ACCESS EXCLUSIVE", count, round(count * _WRITES.get(table, 0.1) / _rate(conn, table), 1))
        for table, count in rows.items()
    ]
    return sorted([*found, *beside], key=lambda lock: (-lock.seconds, lock.table))


def _rate(conn: Connection[Any], table: str) -> float:
    """Rows a second that this server writes of this table, with its indexes."""
    try:
        with conn.transaction(force_rollback=True):
            conn.execute("set local statement_timeout = '10s'")
            conn.execute("set local lock_timeout = '2s'")
            conn.execute(
                sql.SQL("create temporary table loom_probe (like public.{} including indexes)").format(
                    sql.Identifier(table)
                )
            )
            began = time.perf_counter()
            written = conn.execute(
                sql.SQL("insert into loom_probe select * from public.{} limit {}").format(
                    sql.Identifier(table), sql.Literal(_SAMPLE)
                )
            ).rowcount
            spent = time.perf_counter() - began
    except (
        psycopg.errors.InsufficientPrivilege,
        psycopg.errors.QueryCanceled,
        psycopg.errors.LockNotAvailable,
        psycopg.errors.ReadOnlySqlTransaction,
    ):
        return 10_000.0
    return max(written, 100) / max(spent, 0.001) / _LOGGED
