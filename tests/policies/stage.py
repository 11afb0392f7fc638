"""The world in a database of its own, and a connection that can take every role."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import psycopg
import pytest

from tests.policies.cells import Observer, Relation, load_matrix, relations
from tests.policies.world import World, build
from tests.support.cluster import Cluster


@dataclass(frozen=True, slots=True)
class Stage:
    """`conn` is a superuser's, autocommit; whatever a test does, it takes back."""

    conn: psycopg.Connection[Any]
    world: World
    relations: list[Relation]
    observer: Observer

    def visible(self) -> dict[str, set[str]]:
        """By identity, every row that they may select, as the matrix says."""
        seen: dict[str, set[str]] = {name: set() for name in self.world.identities}
        for (table, name), cell in load_matrix().items():
            if name in seen:
                every = set(self.world.labels[table].values())
                seen[name] |= every if cell["select"] == "*" else every & set(cell["select"].split())
        return seen

    def digests(self) -> dict[str, str]:
        """What is in each table, in one word each."""
        tables = [relation.full for relation in self.relations if relation.is_table]
        rows = self.conn.execute("select t, matrix.digest(t::regclass) from unnest(%s::text[]) t", (tables,))
        return dict(rows.fetchall())


@pytest.fixture(scope="module")
def stage(cluster: Cluster, database_name: str) -> Iterator[Stage]:
    """The world, built once for each module."""
    with psycopg.connect(cluster.url(database_name, "postgres"), autocommit=True) as conn:
        tables = relations(conn)
        world = build(conn, tables)
        conn.execute("analyze")
        yield Stage(conn, world, tables, Observer(conn, world))
