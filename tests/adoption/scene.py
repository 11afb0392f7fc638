"""A few named people in an old database, and the same database adopted: whatever is tried is tried in both.

def test_something(scene: Scene) -> None:
    assert scene.before("client", "select …") == "42P17"
    assert scene.after("client", "select …") == [(1,)]
"""

from __future__ import annotations

import hashlib
import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any, LiteralString, cast
from uuid import UUID

import psycopg

from tests.adoption.old_database import extend, legacy_database, read
from tests.support.cluster import Cluster

ROWS = Path(__file__).with_name("scene.sql")
PEOPLE = ("coach", "other_coach", "client", "other_client", "former", "stranger", "admin")
THINGS = (
    "held", "ahead", "with_other_coach", "group", "note", "shared_note", "reflection", "reflection_elsewhere", "talk",
    "message", "file", "session_file", "foreign_file", "payment", "notice", "log", "request",
)  # fmt: skip


def uid(name: str) -> UUID:
    """The id of a person or thing, the same in every run."""
    return UUID(hashlib.md5(f"scene {name}".encode(), usedforsecurity=False).hexdigest())


IDS: dict[str, UUID] = {name: uid(name) for name in PEOPLE + THINGS}


@dataclass(frozen=True, slots=True)
class Scene:
    """`old` and `adopted` are names of databases on `cluster`; nothing that is tried is kept."""

    cluster: Cluster
    old: str
    adopted: str

    def before(self, who: str, query: str, **params: object) -> Any:
        """The query in the old database: its rows, how many it changed, or the SQLSTATE of its refusal."""
        return attempt(self.cluster, self.old, who, query, params)

    def after(self, who: str, query: str, **params: object) -> Any:
        """The same in the adopted database."""
        return attempt(self.cluster, self.adopted, who, query, params)

    def both(self, who: str, query: str, **params: object) -> tuple[Any, Any]:
        """Before and after."""
        return self.before(who, query, **params), self.after(who, query, **params)


def attempt(cluster: Cluster, database: str, who: str, query: str, params: dict[str, object] | None = None) -> Any:
    """One statement or several as `anon`, `service`, `owner`, `superuser` or a person; `%(name)s` is an id."""
    role = {"anon": "anon", "service": "service_role", "owner": "none", "superuser": "none"}.get(who, "authenticated")
    claims = {"role": role} | ({"sub": str(IDS[who])} if who in PEOPLE else {})
    url = cluster.url(database, {"owner": "loom_owner", "superuser": "postgres"}.get(who, "loom_api"))
    with psycopg.connect(url) as conn:
        if role != "none":
            conn.execute(
                "select set_config('role', %s, true), set_config('request.jwt.claims', %s, true)",
                [role, json.dumps(claims)],
            )
        try:
            for statement in query.split(";\n"):
                cursor = conn.execute(cast("LiteralString", statement), IDS | (params or {}))
            return cursor.fetchall() if cursor.description else cursor.rowcount
        except psycopg.Error as refused:
            return refused.sqlstate
        finally:
            conn.rollback()


def open_scene(cluster: Cluster) -> Scene:
    """Builds both databases."""
    old = cluster.create()
    cluster.platform(old)
    with psycopg.connect(cluster.url(old)) as conn:
        legacy_database(conn)
        text: LiteralString = read(ROWS)
        for statement in text.split(";\n"):
            if statement.strip():
                conn.execute(statement, cast("dict[str, Any]", IDS))
    adopted = cluster.create(old)
    with psycopg.connect(cluster.url(adopted), autocommit=True) as conn:
        extend(conn)
    return Scene(cluster, old, adopted)


def close_scene(scene: Scene) -> None:
    """Drops both."""
    scene.cluster.drop(scene.adopted)
    scene.cluster.drop(scene.old)
