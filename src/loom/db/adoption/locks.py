"""Which locks an adoption takes, and for how long by a rate that is measured there and then."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Protocol

from psycopg import Connection, sql

SAMPLE = 20_000

# What the migration does to a row of a table, in whole-row writes: updates, rows added beside it, indexes built over it.
# Rows of tables that are not named are only looked at.
_WRITES = {
    "sessions": 4.0,
    "payments": 2.5,
    "messages": 2.5,
    "message_read_receipts": 1.5,
    "message_reactions": 1.5,
    "message_attachments": 1.5,
    "conversation_participants": 1.5,
    "conversations": 1.5,
    "users": 1.0,
}


class Reader(Protocol):
    """Runs a query and gives rows as dicts."""

    def run(self, query: Any, **params: Any) -> list[dict[str, Any]]: ...


@dataclass(frozen=True, slots=True)
class Lock:
    """`seconds` is an estimate: rows by what is written for each, at the measured rate."""

    table: str
    lock: str
    rows: int
    seconds: float
    why: str


def measure_locks(reader: Reader, tables_by_rows: dict[str, int]) -> list[Lock]:
    """One entry a table. All of them are held from the first to the end of the transaction, so the sum counts."""
    return []
