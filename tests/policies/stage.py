"""The world in a database of its own, and a connection that can take every role."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import psycopg
import pytest

from tests.policies.cells import Observer, Relation, relations
from tests.policies.world import World, build
from tests.support.cluster import Cluster


@dataclass(frozen=True, slots=True)
class Stage:
    """`conn` is a superuser's, autocommit; whatever a test does, it takes back."""

    conn: psycopg.Connection[Any]
    world: World
    relations: list[Relation]
    observer: Observer


@pytest.fixture(scope="module")
def stage(cluster: Cluster, database_name: str) -> Iterator[Stage]:
    """The world, built once for each module."""
    with psycopg.connect(cluster.url(database_name, "postgres"), autocommit=True) as conn:
        tables = relations(conn)
        world = build(conn, tables)
        conn.execute("analyze")
        yield Stage(conn, world, tables, Observer(conn, world))
