"""Statements tried as one of the world's people: what came of each, with everything taken back."""

import json
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any
from uuid import UUID

import psycopg

# PostgreSQL 18 tells ON DELETE RESTRICT from other foreign keys; before, both were 23503.
SAME = {"23001": "23503"}


@dataclass(frozen=True, slots=True)
class Identity:
    """Somebody who talks to the database. `user` is None for anon, for the service role and for the owner, whose role
    is `none`: whoever the connection belongs to."""

    name: str
    role: str
    user: UUID | None = None

    @property
    def claims(self) -> str:
        """The token's claims as PostgREST and Loom set them; only `sub` is to be trusted."""
        if self.role == "none":
            return ""
        if self.user is None:
            return json.dumps({"role": self.role})
        return json.dumps({"sub": str(self.user), "role": self.role})


@dataclass(frozen=True, slots=True)
class Outcome:
    """`state` is None when the statement ran; `rows` and `value` are what it touched or gave."""

    rows: int | None
    value: str | None
    state: str | None
    constraint: str | None = None
    message: str | None = None
    detail: str | None = None
    hint: str | None = None

    @property
    def refused_by_privilege(self) -> bool:
        """True when a missing grant refused it, not a policy: both are 42501."""
        return self.state == "42501" and (self.message or "").startswith("permission denied")


@contextmanager
def acting_as(conn: psycopg.Connection[Any], identity: Identity) -> Iterator[None]:
    """Inside the current transaction, everything runs as `identity`; afterwards as before."""
    # Outside a transaction the settings would be gone at once, and everything would run as whoever owns the connection.
    assert conn.info.transaction_status == psycopg.pq.TransactionStatus.INTRANS
    conn.execute(
        "select set_config('role', %s, true), set_config('request.jwt.claims', %s, true)",
        (identity.role, identity.claims),
    )
    try:
        yield
    finally:
        if conn.info.transaction_status == psycopg.pq.TransactionStatus.INTRANS:
            conn.execute("select set_config('role', 'none', true), set_config('request.jwt.claims', '', true)")


def attempt(
    conn: psycopg.Connection[Any], identity: Identity, statements: Sequence[str], *, keep: bool = False
) -> list[Outcome]:
    """Tries each statement on its own as `identity` and takes each back; with `keep` only those that touched rows."""
    if not statements:
        return []
    with acting_as(conn, identity):
        row = conn.execute("select matrix.attempt(%s, %s)", (list(statements), keep)).fetchone()
    assert row is not None
    return [Outcome(**(outcome | {"state": SAME.get(outcome["state"], outcome["state"])})) for outcome in row[0]]
