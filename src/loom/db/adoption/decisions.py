"""What an operator decided about old data. Nothing of it is guessed."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

from psycopg import Connection

from loom.core.errors import OperatorError

STATUSES = ("pending", "paid", "failed", "canceled", "refunded")


@dataclass(frozen=True, slots=True)
class Decisions:
    """`statuses` and `currencies`: the text as it stands to what it means. `renames`: table to its new name."""

    statuses: dict[str, str] = field(default_factory=dict[str, str])
    currencies: dict[str, str] = field(default_factory=dict[str, str])
    renames: dict[str, str] = field(default_factory=dict[str, str])
    drop_empty: bool = False

    def rows(self) -> list[tuple[str, str, str]]:
        """Rows for private.adoption_decisions."""
        return [
            *(("payments.status", text, status) for text, status in self.statuses.items()),
            *(("payments.currency", text, currency) for text, currency in self.currencies.items()),
        ]


def parse_decisions(
    statuses: Sequence[str], currencies: Sequence[str], renames: Sequence[str], *, drop_empty: bool
) -> Decisions:
    """From options such as `x=failed`. The text before the last `=` may be empty, and may hold spaces."""
    mapped = _pairs("--map-status", statuses)
    for text, status in mapped.items():
        if status not in STATUSES:
            raise OperatorError(
                f"--map-status '{text}={status}': there is no status {status}; {', '.join(STATUSES)} are."
            )
    return Decisions(
        mapped, _pairs("--map-currency", currencies), _pairs("--rename-table", renames), drop_empty=drop_empty
    )


def _pairs(option: str, given: Sequence[str]) -> dict[str, str]:
    found: dict[str, str] = {}
    for text in given:
        name, separator, value = text.rpartition("=")
        if not separator or not value.strip():
            raise OperatorError(f"{option} takes OLD=NEW, not {text!r}.")
        if found.setdefault(name, value.strip()) != value.strip():
            raise OperatorError(f"{option} says two things about {name!r}.")
    return found


def stored_decisions(conn: Connection[tuple[object, ...]]) -> Decisions:
    """What was decided before, in the database, by whichever way."""
    row = conn.execute("select to_regclass('private.adoption_decisions') is not null").fetchone()
    if row is None or not row[0]:
        return Decisions()
    rows = conn.execute("select kind, key, value from private.adoption_decisions").fetchall()
    found = {
        kind: {str(k): str(v) for k2, k, v in rows if k2 == kind} for kind in ("payments.status", "payments.currency")
    }
    return Decisions(found["payments.status"], found["payments.currency"])


def merged(stored: Decisions, given: Decisions) -> Decisions:
    """What is said now comes before what was said earlier."""
    return Decisions(
        stored.statuses | given.statuses, stored.currencies | given.currencies, given.renames, given.drop_empty
    )


def write_decisions(conn: Connection[tuple[object, ...]], decisions: Decisions) -> None:
    """Where migrations read them, whichever way they are run."""
    for row in decisions.rows():
        conn.execute(
            "insert into private.adoption_decisions (kind, key, value) values (%s, %s, %s)"
            " on conflict (kind, key) do update set value = excluded.value",
            row,
        )
