"""Fills a legacy database with every kind of dirt that old data has, at any size.

    legacy_database(conn)                                   # tests.adoption.old_database
    generate(conn, seed=7, sessions=1_000_000, payments=1_000_000, messages=1_000_000)
    generate(conn, seed=7, sessions=200, stoppers=True)     # also what an adoption must not decide by itself

Deterministic: the same seed, sizes and day give the same rows, made in the server from a hash of seed and row
number. `people` follows from the sizes unless it is given. Zero of everything leaves the database empty. `stoppers`
adds what stands in the way of an adoption until somebody decides: unknown statuses, currencies that do not exist,
sessions ahead that overlap, and e-mail addresses that differ only in case; each is left out by naming it in
`without`. `conn` is the owner's; it may be in autocommit or not. `expected_statuses()` says what becomes of each
spelling of a payment's status that is known without asking.
"""

from __future__ import annotations

from datetime import UTC, date, datetime
from pathlib import Path
from typing import Any, LiteralString, cast

import psycopg

HERE = Path(__file__).parent / "rows"

KNOWN_STATUSES = {
    "paid": ("paid", "Paid", " PAID ", "completed", "Complete", "succeeded", "SUCCESS", "captured\t", "paid\r\n"),
    "pending": ("pending", "Created", "new", " processing"),
    "failed": ("failed", "Failure", "declined", "REJECTED", "error "),
    "canceled": ("canceled", "cancelled", "Void", "voided"),
    "refunded": ("refunded", " Refunded"),
}
UNKNOWN_STATUSES = ("", "   ", "chargeback", "שולם", "paid?", "partially refunded", "pa\u200bid")
CURRENCIES = ("ILS", "ils", " Ils", "USD", "usd ", "EUR", "JPY")
UNKNOWN_CURRENCIES = ("XXX", "NIS", "₪", "")
STOPPERS = ("statuses", "currencies", "overlaps", "addresses")


def expected_statuses() -> dict[str, str]:
    """Spelling → status, for all that is known without asking."""
    return {spelling: status for status, spellings in KNOWN_STATUSES.items() for spelling in spellings}


def generate(
    conn: psycopg.Connection[Any],
    *,
    seed: int = 1,
    sessions: int = 0,
    payments: int = 0,
    messages: int = 0,
    people: int | None = None,
    stoppers: bool = False,
    without: tuple[str, ...] = (),
    today: date | None = None,
) -> None:
    """Fills the tables. See the module."""
    if people is None:
        rows = sessions + payments + messages
        people = min(20_000, max(24, rows // 100)) if rows else 0
    wanted = set(STOPPERS) - set(without) if stoppers else set[str]()
    known = tuple(expected_statuses())
    sizes = {
        "people": people,
        "coaches": max(2, people // 20) if people else 0,
        "sessions": sessions,
        "payments": payments,
        "messages": messages,
        "conversations": -(-messages // 20),
    } | {name: int(name in wanted) for name in STOPPERS}
    lists = {
        "statuses": known + (UNKNOWN_STATUSES if "statuses" in wanted else ()),
        "currencies": CURRENCIES * 4 + (UNKNOWN_CURRENCIES if "currencies" in wanted else ()),
    }
    day = datetime.combine(today or datetime.now(UTC).date(), datetime.min.time(), UTC)
    with conn.transaction():
        _make_dice(conn, seed, day, sizes, lists)
        conn.execute(cast("LiteralString", (HERE / "before.sql").read_text("utf-8")))
        if people:
            for path in sorted(HERE.glob("[0-9]*.sql")):
                conn.execute(cast("LiteralString", path.read_text("utf-8")))
        conn.execute(cast("LiteralString", (HERE / "after.sql").read_text("utf-8")))


def _make_dice(
    conn: psycopg.Connection[Any], seed: int, day: datetime, sizes: dict[str, int], lists: dict[str, tuple[str, ...]]
) -> None:
    """Functions of this connection alone, which the files in `rows` draw from; inlined, so they cost little."""
    text = psycopg.sql.Literal
    size = psycopg.sql.SQL(" ").join(
        psycopg.sql.SQL("when {} then {}").format(text(name), text(value)) for name, value in sizes.items()
    )
    choice = psycopg.sql.SQL(" ").join(
        psycopg.sql.SQL("when {} then {}::text[]").format(text(name), text(list(values)))
        for name, values in lists.items()
    )
    functions: LiteralString = """
        create or replace function pg_temp.roll(n bigint, salt integer, sides integer) returns integer
        language sql immutable as $$
          select (mod(hashint8extended($1, {seed}::bigint * 1000 + $2) & 9223372036854775807, $3))::integer
        $$;
        create or replace function pg_temp.pick(n bigint, salt integer, choices text[]) returns text
        language sql immutable as $$ select $3[1 + pg_temp.roll($1, $2, cardinality($3))] $$;
        create or replace function pg_temp.uid(kind text, n bigint) returns uuid
        language sql immutable as $$ select md5($1 || ' ' || $2::text || ' of ' || {seed}::text)::uuid $$;
        create or replace function pg_temp.today() returns timestamptz
        language sql immutable as $$ select {day}::timestamptz $$;
        create or replace function pg_temp.size(what text) returns integer
        language sql immutable as $$ select case $1 {size} end $$;
        create or replace function pg_temp.list(what text) returns text[]
        language sql immutable as $$ select case $1 {choice} end $$;
    """
    conn.execute(
        psycopg.sql.SQL(functions).format(seed=text(seed), day=text(day.isoformat()), size=size, choice=choice)
    )
