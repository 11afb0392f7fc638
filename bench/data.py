"""A server of the bench's own, and conversations to read: always the same for the same scale."""

import tempfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, nullcontext
from pathlib import Path
from uuid import UUID

import psycopg

from bench.verdict import say
from loom.db.embedded import EmbeddedServer
from loom.db.migrate import migrate

PEOPLE = 10
"""People in each conversation; the nth has users 10n to 10n + 9, modulo a thousand."""
LENGTH = 500
"""Messages in each conversation."""
OPTIONS = {
    "fsync": "off",
    "synchronous_commit": "off",
    "full_page_writes": "off",
    "autovacuum": "off",
    "shared_buffers": "512MB",
    "max_wal_size": "4GB",
}
KINDS = {"user": "8", "conversation": "9", "message": "a"}


def uid(kind: str, number: int) -> UUID:
    """The id of the nth user, conversation or message."""
    return UUID(f"00000000-0000-4000-{KINDS[kind]}000-{number:012x}")


def sql_uid(kind: str, number: str) -> str:
    """The same as an SQL expression over a number."""
    return f"('00000000-0000-4000-{KINDS[kind]}000-' || lpad(to_hex({number}), 12, '0'))::uuid"


@contextmanager
def server(options: Mapping[str, str] = OPTIONS, folder: Path | None = None) -> Iterator[EmbeddedServer]:
    """An embedded server, migrated, in a folder that stays or in a throwaway one."""
    with (
        nullcontext(folder) if folder is not None else tempfile.TemporaryDirectory() as place,
        EmbeddedServer.start(Path(place) / "data", dict(options)) as started,
    ):
        migrate(started.url("postgres"))
        yield started


def fill(database: EmbeddedServer, messages: int) -> int:
    """Writes about that many messages, 500 to a conversation; gives the number of conversations."""
    conversations = max(messages // LENGTH, 1)
    say(f"filling: {conversations * LENGTH:,} messages in {conversations:,} conversations of {PEOPLE} people")
    text = Path(__file__).with_name("data.sql").read_text(encoding="utf-8")
    with psycopg.connect(database.url("postgres"), autocommit=True) as conn:
        conn.execute(text % {"conversations": conversations, "length": LENGTH})
        conn.execute("vacuum analyze")
    return conversations
