"""What lets somebody pay or be paid must lie about nowhere: all that the whole suite leaves is searched for it.

Searched are every row of every database before it is dropped, every line that a test, a command or a server of
PostgreSQL printed or logged, every answer of Loom's over HTTP and the metadata that gateways got. What is looked for:
whatever was sealed meanwhile, and all that has the form of a gateway's key, a webhook's secret, a client secret or the
number of a card.
"""

from __future__ import annotations

import json
import re
import sqlite3
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any, LiteralString, cast

import httpx
import psycopg
import pytest

from loom.providers.payments.sandbox_server.cards import BY_NUMBER
from loom.providers.payments.vault import Vault

FORMS = {
    "gateway key": re.compile(r"[sr]k_(?:test|live)_[A-Za-z0-9]{24,}"),
    "webhook secret": re.compile(r"whsec_[A-Za-z0-9_-]{20,}"),
    "client secret": re.compile(r"(?:pi|seti)_[A-Za-z0-9]+_secret_[A-Za-z0-9_-]{8,}"),
    "card number": re.compile(rf"(?<!\d)(?:{'|'.join(BY_NUMBER)})(?!\d)"),
}
# Looked for first: plain strings are found many times faster than patterns.
_MARKS = {
    "gateway key": ("sk_test_", "sk_live_", "rk_test_", "rk_live_"),
    "webhook secret": ("whsec_",),
    "client secret": ("_secret_",),
    "card number": tuple(BY_NUMBER),
}
_WORD = re.compile(r"[A-Za-z0-9_-]{10,}")
_LETTERS = 8
# Readable to the service alone, and emptied when the intent is over: whoever holds them may pay that one bill.
_WHILE_OPEN = {("public.payment_intents", "client_secret"), ("public.payment_intents", "page_url")}
# Sizes first: asked for each column, they would cost more than all the rest.
_COLUMNS = """
with filled as materialized (
  select c.oid, format('%I.%I', n.nspname, c.relname) as name
  from pg_class c join pg_namespace n on n.oid = c.relnamespace
  where c.relkind = 'r' and n.nspname !~ '^pg_' and n.nspname <> 'information_schema' and pg_relation_size(c.oid) > 0
)
select f.name, a.attname, a.atttypid = 'bytea'::regtype
from filled f join pg_attribute a on a.attrelid = f.oid and a.attnum > 0 and not a.attisdropped
order by 1, a.attnum
"""
_CHUNK = 1 << 20


class Trail:
    """What was sealed, what was searched, and where something was found that should not be there."""

    def __init__(self) -> None:
        self.sealed: set[str] = set()
        self.searched: Counter[str] = Counter()
        self.leaks: list[str] = []

    def kinds_in(self, text: str) -> set[str]:
        """What of it lies open in a text. Line ends of JSON and of COPY are line ends here."""
        text = text.replace("\\n", "\n")
        found = {
            kind for kind, form in FORMS.items() if any(mark in text for mark in _MARKS[kind]) and form.search(text)
        }
        return found | ({"sealed secret"} if not self.sealed.isdisjoint(_WORD.findall(text)) else set())

    def search(self, what: str, where: str, text: str, *, allowed: frozenset[str] = frozenset()) -> None:
        """Notes what lies open there. What was found is not repeated: the report would be the next leak."""
        self.searched[what] += 1
        self.leaks += [f"{where}: {kind}" for kind in sorted(self.kinds_in(text) - allowed)]

    def search_database(self, conninfo: str, name: str) -> None:
        """Every row of every table, bytes as the text that they may be."""
        with psycopg.connect(conninfo, autocommit=True) as conn:
            query = rows_of(conn.execute(_COLUMNS).fetchall())
            if query is None:
                return
            with conn.cursor().copy(cast("LiteralString", query)) as copy:
                for rows in chunks(copy):
                    self.searched["rows"] += len(rows)
                    if self.kinds_in("\n".join(rows)):
                        for row in rows:
                            self.search("rows found in", f"{name}, {row.partition(chr(9))[0]}", row)

    def search_gateway(self, file: Path) -> None:
        """What a sandbox was told about our objects; its own secrets are its own."""
        with sqlite3.connect(file) as db:
            bodies = [json.loads(body) for (body,) in db.execute("select body from objects")]
        told = [
            {name: value for name, value in body.items() if name in ("metadata", "description", "_name")}
            | {name: value for name, value in body.items() if name.startswith("user_defined")}
            for body in bodies
        ]
        self.search("metadata", "what the gateway was told", json.dumps(told))

    def search_answer(self, answer: httpx.Response) -> None:
        """What Loom answered. The payer alone is told what lets the payer pay; a refusal tells nobody."""
        if "x-request-id" not in answer.headers or not answer.content:
            return
        told = frozenset({"client secret"} if answer.is_success else ())
        self.search(
            "answers", f"the answer to {answer.request.method} {answer.request.url.path}", answer.text, allowed=told
        )

    def search_report(self, report: pytest.TestReport) -> None:
        """What a test printed and logged. It fails where something lies open there, or in what it was answered."""
        for title, text in report.sections:
            self.search("output", f"{report.nodeid}, {title}", text)
        if self.leaks:
            report.outcome = "failed"
            report.longrepr = "What must stay secret lies open.\n" + "\n".join(self.taken())

    def taken(self) -> list[str]:
        """What was found since it was last taken, each thing once."""
        found, self.leaks = sorted(set(self.leaks)), []
        return found

    def check(self) -> None:
        """Fails once for each thing that was found."""
        found = self.taken()
        assert not found, "What must stay secret lies open.\n" + "\n".join(found)


def rows_of(columns: list[tuple[Any, ...]]) -> str | None:
    """A COPY of the rows of all tables, each beginning with its table's name; None where there are no rows."""
    tables: dict[str, list[str]] = {}
    for table, column, is_bytes in columns:
        quoted = 't."{}"'.format(column.replace('"', '""'))
        text = f"encode({quoted}, 'escape')" if is_bytes else f"{quoted}::text"
        if (table, column) in _WHILE_OPEN:
            text = f"case when t.status in ('succeeded', 'canceled') then {text} end"
        tables.setdefault(table, []).append(text)
    selects = [
        "select '{}', concat_ws(' ', {}) from {} t".format(table.replace("'", "''"), ", ".join(texts), table)
        for table, texts in tables.items()
    ]
    return "copy (" + " union all ".join(selects) + ") to stdout" if selects else None


def chunks(copy: psycopg.Copy) -> Iterator[list[str]]:
    """Rows by about a megabyte."""
    rows: list[str] = []
    size = 0
    for row in copy:
        rows.append(bytes(row).decode("utf-8", "replace"))
        size += len(row)
        if size > _CHUNK:
            yield rows
            rows, size = [], 0
    yield rows


TRAIL = Trail()
"""That of this process."""


def follow(patch: pytest.MonkeyPatch) -> None:
    """From now on, what is sealed is known to the trail, and every answer is searched as it comes."""
    seal: Any = Vault.seal
    send: Any = httpx.Client.send
    send_async: Any = httpx.AsyncClient.send

    def noted(vault: Vault, secret: str) -> str:
        # What has few letters may be a word of somebody else's: 0000000000, say.
        TRAIL.sealed |= {word for word in _WORD.findall(secret) if len(set(word)) >= _LETTERS}
        return seal(vault, secret)

    def answered(client: httpx.Client, request: httpx.Request, *, stream: bool = False, **more: Any) -> httpx.Response:
        answer = send(client, request, stream=stream, **more)
        if not stream:
            TRAIL.search_answer(answer)
        return answer

    async def answered_async(
        client: httpx.AsyncClient, request: httpx.Request, *, stream: bool = False, **more: Any
    ) -> httpx.Response:
        answer = await send_async(client, request, stream=stream, **more)
        if not stream:
            TRAIL.search_answer(answer)
        return answer

    patch.setattr(Vault, "seal", noted)
    patch.setattr(httpx.Client, "send", answered)
    patch.setattr(httpx.AsyncClient, "send", answered_async)
