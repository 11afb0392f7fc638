"""Two ways to one schema: the migrations, and today's schema files alone. A dump of both is the same text."""

from __future__ import annotations

import difflib
import re
import subprocess
from collections.abc import Iterator
from typing import LiteralString, cast

import psycopg
import pytest

from loom.db.catalogue import expected_facts, read_facts
from loom.db.embedded import programs
from loom.db.migrate import connect, migrate
from loom.db.schema_files import schema_paths
from tests.support.cluster import Cluster


@pytest.fixture
def two(cluster: Cluster) -> Iterator[tuple[str, str]]:
    """An empty database for the migrations and one for the schema files."""
    names = (cluster.create(), cluster.create())
    for name in names:
        cluster.platform(name)
    yield names
    for name in names:
        cluster.drop(name)


def dump(url: str) -> list[str]:
    """What pg_dump says of schemas public and private, without its comments and its random marks."""
    text = subprocess.run(
        [programs() / "pg_dump", "--schema-only", "--schema=public", "--schema=private", f"--dbname={url}"],
        check=True,
        capture_output=True,
        text=True,
    ).stdout
    return [line for line in text.splitlines() if line and not re.match(r"--|\\(un)?restrict ", line)]


def difference(wanted: list[str], there: list[str]) -> list[str]:
    """What a person would want to read when two dumps are not the same."""
    return list(difflib.unified_diff(wanted, there, "wanted", "there", lineterm="", n=2))


def test_migrations_and_schema_files_make_the_same_database(cluster: Cluster, two: tuple[str, str]) -> None:
    by_migrations, by_files = two
    migrate(cluster.url(by_migrations, "postgres"))
    with psycopg.connect(cluster.url(by_files)) as conn:
        for path in schema_paths():
            conn.execute(cast("LiteralString", path.read_text("utf-8")))
    unlike = difference(dump(cluster.url(by_files)), dump(cluster.url(by_migrations)))
    assert not unlike, "\n".join(unlike)


def test_default_privileges_like_those_of_supabase_open_nothing(cluster: Cluster, two: tuple[str, str]) -> None:
    plain, generous = two
    kinds = ("tables", "functions", "sequences")
    people = "anon, authenticated, service_role"
    with psycopg.connect(cluster.url(generous)) as conn:
        for kind in kinds:
            conn.execute(
                cast("LiteralString", f"alter default privileges in schema public grant all on {kind} to {people}")
            )
    for name in two:
        migrate(cluster.url(name, "postgres"))
    with psycopg.connect(cluster.url(generous)) as conn:
        for kind in kinds:
            conn.execute(
                cast("LiteralString", f"alter default privileges in schema public revoke all on {kind} from {people}")
            )
    unlike = difference(dump(cluster.url(plain)), dump(cluster.url(generous)))
    assert not unlike, "\n".join(unlike)


def test_the_expected_catalogue_is_that_of_a_fresh_database(database_url: str) -> None:
    with connect(database_url) as conn:
        assert read_facts(conn) == expected_facts(), "run: loom db draft"
