"""A database as an older application left it, for tests of adoption.

`legacy_database(conn)` builds it, without rows, in a database that has the platform (`Cluster.platform`); `conn` is
the owner's. `tests.adoption.generator.generate(conn, …)` fills it at any size. `half_adopted(conn)` then runs the
review's SQL statement by statement, as somebody once did by hand: two statements fail and the columns they would
have made are missing. `extend(conn)` applies both migrations, and `drop_extras(conn)` takes out what only the older
application had, so that the rest can be compared.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any, LiteralString, cast

import psycopg

from loom.db.schema_files import EXTENSION, supabase_dir
from loom.db.statements import split_statements

Conn = psycopg.Connection[Any]

HERE = Path(__file__).parent
BASE = supabase_dir() / "migrations" / "20261101000000_create_base_tables.sql"
REVIEW = HERE.parent / "schema" / "review.sql"

# The review locks ten of its eleven new tables and forgets the eleventh, session_templates.
LOCKED = (
    "session_attendees", "invoices", "invoice_line_items", "payment_methods", "payment_intents", "payment_line_items",
    "payment_refunds", "conversation_contexts", "message_delivery_states", "message_mentions",
)  # fmt: skip


def read(path: Path) -> LiteralString:
    """SQL of a file."""
    return cast("LiteralString", path.read_text("utf-8"))


def legacy_files() -> list[Path]:
    """The older application's schema in its order, without the base tables, which the baseline makes."""
    return sorted((HERE / "legacy").glob("*.sql"))


def legacy_database(conn: Conn) -> None:
    """Base tables, and on them everything that the older application had. No rows."""
    with conn.transaction():
        conn.execute(read(BASE))
        # The baseline made this for the decisions of an adoption; an old database has none.
        conn.execute("drop table private.adoption_decisions; drop schema private")
        for path in legacy_files():
            conn.execute(read(path))


def half_adopted(conn: Conn, runs: int = 1) -> list[str]:
    """The review's SQL statement by statement, as it stood: `runs` times. Returns what failed in the last run."""
    statements = split_statements(REVIEW.read_text("utf-8"))
    statements += [f"alter table public.{table} enable row level security" for table in LOCKED]
    statements += [f'create policy "service only" on public.{table} for all using (false)' for table in LOCKED]
    # As the document had it: sessions pointed at invoices before there were any, and the default of the status stood.
    moved = next(text for text in statements if "ALTER TABLE sessions" in text)
    invoices = next(text for text in statements if "CREATE TABLE invoices" in text)
    statements.remove(moved)
    statements.insert(statements.index(invoices), moved)
    statements = [text.replace("ALTER COLUMN status DROP DEFAULT,", "") for text in statements]
    failed: list[str] = []
    for _ in range(runs):
        failed = [text for text in statements if not _runs(conn, text)]
    return failed


def _runs(conn: Conn, statement: str) -> bool:
    try:
        with conn.transaction():
            conn.execute(cast("LiteralString", statement))
    except psycopg.Error:
        return False
    return True


def extend(conn: Conn) -> None:
    """Both migrations, each in a transaction of its own, as a migration tool applies them."""
    for path in (BASE, supabase_dir() / "migrations" / EXTENSION):
        with conn.transaction():
            conn.execute(read(path))


def drop_extras(conn: Conn) -> None:
    """Takes out what only the older application had."""
    with conn.transaction():
        conn.execute(read(HERE / "extras.sql"))
