"""What lets somebody pay or be paid must lie about nowhere: all that the tests of a module left is searched for it.

Searched are every row of the module's database, every line that a test printed or logged, every answer over HTTP and
the metadata that gateways got. What is looked for: whatever was sealed meanwhile, and all that has the form of a
gateway's key, a webhook's secret, a client secret or the number of a card.
"""

from __future__ import annotations

import json
import re
import sqlite3
from collections import Counter
from pathlib import Path
from typing import Any, LiteralString, cast

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
_WORD = re.compile(r"[A-Za-z0-9_-]{10,}")
# Readable to the service alone, and emptied when the intent is over: whoever holds them may pay that one bill.
_OPEN_INTENT = (
    "case when status in ('succeeded', 'canceled') then to_jsonb(t) else to_jsonb(t) - 'client_secret' - 'page_url' end"
)


class Trail:
    """What was sealed, what was searched, and where something was found that should not be there."""

    def __init__(self) -> None:
        self.sealed: set[str] = set()
        self.searched: Counter[str] = Counter()
        self.leaks: list[str] = []

    def kinds_in(self, text: str) -> set[str]:
        """What of it lies open in a text."""
        found = {kind for kind, form in FORMS.items() if form.search(text)}
        return found | ({"sealed secret"} if not self.sealed.isdisjoint(_WORD.findall(text)) else set())

    def search(self, what: str, where: str, text: str, *, allowed: frozenset[str] = frozenset()) -> None:
        """Notes what lies open there. What was found is not repeated: the report would be the next leak."""
        self.searched[what] += 1
        self.leaks += [f"{where}: {kind}" for kind in sorted(self.kinds_in(text) - allowed)]

    def search_database(self, conninfo: str, name: str) -> None:
        """Every row of every table."""
        with psycopg.connect(conninfo, autocommit=True) as conn:
            tables = conn.execute(
                "select format('%I.%I', schemaname, tablename) from pg_tables"
                " where schemaname in ('public', 'private', 'jobs', 'auth') order by 1"
            ).fetchall()
            for (table,) in tables:
                row = _OPEN_INTENT if table == "public.payment_intents" else "to_jsonb(t)"
                query = cast("LiteralString", f"select ({row})::text from {table} t")
                rows = conn.execute(query).fetchall()
                self.search("rows", f"{name}, {table}", "\n".join(text for (text,) in rows))

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

    def search_report(self, report: pytest.TestReport) -> None:
        """What a test printed and logged; the test fails where something lies open in it."""
        before = len(self.leaks)
        for title, text in report.sections:
            self.search("output", f"{report.nodeid}, {title}", text)
        if len(self.leaks) > before:
            report.outcome = "failed"
            report.longrepr = "\n".join(self.leaks[before:])

    def check(self) -> None:
        """Fails once for each thing that was found."""
        found, self.leaks = sorted(set(self.leaks)), []
        assert found == [], "what must stay secret lies open"


TRAIL = Trail()
"""That of this process."""


def follow(patch: pytest.MonkeyPatch) -> None:
    """From now on, what is sealed is known to the trail."""
    seal: Any = Vault.seal

    def noted(vault: Vault, secret: str) -> str:
        TRAIL.sealed |= set(_WORD.findall(secret))
        return seal(vault, secret)

    patch.setattr(Vault, "seal", noted)
