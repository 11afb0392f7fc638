"""Old databases of every kind for one server, made once and cloned."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

import psycopg

from tests.adoption.generator import generate
from tests.adoption.old_database import half_adopted, legacy_database
from tests.support.cluster import Cluster

Conn = psycopg.Connection[Any]


def _nothing(conn: Conn) -> None:
    """Tables without rows."""


def _small(conn: Conn) -> None:
    generate(conn, seed=2, sessions=20, payments=20, messages=20)


def _dirty(conn: Conn) -> None:
    """Every kind of dirt that needs no decision."""
    generate(conn, seed=5, sessions=250, payments=300, messages=300)


def _talks(conn: Conn) -> None:
    """Conversations of many pairs, about sessions and not. Messages have a time, so numbers are always the same."""
    generate(conn, seed=9, sessions=300, messages=2_400, people=80)
    conn.execute("update public.messages set created_at = '2025-01-01' where created_at is null")


def _stopped(conn: Conn) -> None:
    """Also what needs one."""
    generate(conn, seed=6, sessions=150, payments=400, messages=100, stoppers=True)


def _by_hand(conn: Conn) -> None:
    _small(conn)
    half_adopted(conn)


KINDS: dict[str, Callable[[Conn], None]] = {
    "empty": _nothing,
    "small": _small,
    "dirty": _dirty,
    "talks": _talks,
    "stopped": _stopped,
    "by_hand": _by_hand,
}


@dataclass
class Cases:
    """`copy(kind)` is the name of a fresh clone, gone at the end of the `with`."""

    cluster: Cluster
    _templates: dict[str, str] = field(default_factory=dict[str, str])

    @contextmanager
    def copy(self, kind: str) -> Iterator[str]:
        """A clone of a kind of old database."""
        if kind not in self._templates:
            name = self.cluster.create()
            self.cluster.platform(name)
            with psycopg.connect(self.cluster.url(name), autocommit=True) as conn:
                legacy_database(conn)
                KINDS[kind](conn)
            self._templates[kind] = name
        name = self.cluster.create(self._templates[kind])
        try:
            yield name
        finally:
            self.cluster.drop(name)

    def close(self) -> None:
        """Drops the templates."""
        for name in self._templates.values():
            self.cluster.drop(name)
