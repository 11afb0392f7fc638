"""The SQL loads: schema files alone, migrations alone, and the extension a second time."""

from __future__ import annotations

from collections.abc import Iterator
from typing import LiteralString, cast

import psycopg
import pytest

from loom.db.migrate import migrate, migrations, status
from loom.db.schema_files import EXTENSION, render_draft, schema_paths, schema_sql, supabase_dir, unlisted
from tests.support.cluster import Cluster


@pytest.fixture
def empty(cluster: Cluster) -> Iterator[str]:
    """A database with the platform and nothing else."""
    name = cluster.create()
    cluster.platform(name)
    yield name
    cluster.drop(name)


def test_the_schema_files_alone_make_an_empty_database_into_a_loom_database(cluster: Cluster, empty: str) -> None:
    with psycopg.connect(cluster.url(empty)) as conn:
        for path in schema_paths():
            try:
                conn.execute(cast("LiteralString", path.read_text("utf-8")))
            except psycopg.Error as exc:
                pytest.fail(f"{path.relative_to(supabase_dir())}: {exc}")


def test_migrations_apply_once_and_then_there_is_nothing_to_do(cluster: Cluster, empty: str) -> None:
    url = cluster.url(empty, "postgres")
    assert migrate(url) == migrations()
    assert migrate(url) == []
    with psycopg.connect(url) as conn:
        assert status(conn).pending == []


def test_the_extension_can_be_run_twice(cluster: Cluster, empty: str) -> None:
    extension = supabase_dir() / "migrations" / EXTENSION
    migrate(cluster.url(empty, "postgres"))
    with psycopg.connect(cluster.url(empty)) as conn:
        conn.execute(cast("LiteralString", extension.read_text("utf-8") if extension.exists() else schema_sql()))


def test_the_generated_migration_is_what_the_draft_and_the_schema_files_make() -> None:
    extension = supabase_dir() / "migrations" / EXTENSION
    if extension.exists() or (supabase_dir() / "drafts" / EXTENSION).exists():
        assert extension.read_text("utf-8") == render_draft(), "run: .venv/bin/loom db draft"


def test_every_schema_file_is_listed_in_the_one_order() -> None:
    assert unlisted() == []
