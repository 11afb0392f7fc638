"""The same adoption for those who use the Supabase CLI and not Loom's: `loom db files`, then `supabase db push`."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import psycopg
import pytest
from psycopg import sql

from loom.db.adoption.apply import apply_plan
from loom.db.adoption.decisions import Decisions
from loom.db.check import check
from loom.db.migrate import connect, migrate, migrations
from tests.adoption.cases import Cases
from tests.adoption.test_interrupted import meaning
from tests.cli.running import loom
from tests.schema.test_postgres15 import supabase
from tests.support.cluster import external_cluster
from tests.support.servers import postgres15

THEIRS = "20250704000001_initial_schema.sql"


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Cases]:
    """Old databases on PostgreSQL 15."""
    with postgres15(tmp_path_factory.mktemp("debian")) as url, external_cluster(url) as other:
        yield Cases(other)


@pytest.fixture
def project(tmp_path: Path) -> Path:
    """A Supabase project with a history of its own."""
    folder = tmp_path / "project" / "supabase" / "migrations"
    folder.mkdir(parents=True)
    (folder.parent / "config.toml").write_text('project_id = "theirs"\n', "utf-8")
    (folder / THEIRS).write_text("select 'long applied';\n", "utf-8")
    return folder


def old(server: Cases, name: str) -> str:
    """The old database with its books, for the CLI."""
    with psycopg.connect(server.cluster.url(name, "postgres"), autocommit=True) as conn:
        conn.execute(
            "create schema supabase_migrations authorization loom_owner; set role loom_owner;"
            "create table supabase_migrations.schema_migrations (version text primary key, statements text[],"
            " name text);"
            "insert into supabase_migrations.schema_migrations values ('20250704000001', null, 'initial_schema');"
            "reset role"
        )
        conn.execute(sql.SQL("alter database {} owner to loom_owner").format(sql.Identifier(name)))
    info = psycopg.conninfo.conninfo_to_dict(server.cluster.superuser)
    return f"postgresql://loom_owner:loom-test@127.0.0.1:{info['port']}/{name}?sslmode=disable"


def test_pushing_the_files_gives_the_same_database(server: Cases, project: Path, tmp_path: Path) -> None:
    done = loom("db", "files", "--into", str(project))
    assert done.returncode == 0, done.stderr
    assert sorted(path.name for path in project.iterdir()) == [
        THEIRS, *(migration.path.name for migration in migrations())
    ]  # fmt: skip
    assert loom("db", "files", "--into", str(project)).stdout == ""
    with server.copy("dirty") as pushed, server.copy("dirty") as adopted:
        url = old(server, pushed)
        supabase("db", "push", "--yes", "--db-url", url, home=tmp_path, cwd=project.parents[1])
        apply_plan(server.cluster.url(adopted), Decisions())
        with connect(server.cluster.url(pushed)) as conn:
            assert [(finding.what, finding.where) for finding in check(conn)] == [("schema", "jobs")]
        assert meaning(server.cluster.url(pushed)) == meaning(server.cluster.url(adopted))
        # Loom's own commands find it adopted, and bring the queue.
        assert apply_plan(server.cluster.url(pushed), Decisions()) is None
        for name in (pushed, adopted):
            with connect(server.cluster.url(name)) as conn:
                assert check(conn) == []
        again = supabase("db", "push", "--yes", "--db-url", url, home=tmp_path, cwd=project.parents[1])
        assert "up to date" in again


def test_decisions_are_read_from_the_table_by_both_ways(server: Cases, project: Path, tmp_path: Path) -> None:
    loom("db", "files", "--into", str(project))
    with server.copy("small") as name:
        url = old(server, name)
        owner = server.cluster.url(name)
        with connect(owner) as conn:
            conn.execute("insert into public.payments (amount_cents, status) values (100, 'chargeback')")
        refused = supabase("db", "push", "--yes", "--db-url", url, home=tmp_path, cwd=project.parents[1], fails=True)
        assert "'chargeback' (1)" in refused
        assert "insert into private.adoption_decisions" in refused
        assert loom("db", "adopt", "--plan", "--database-url", owner).returncode == 3
        with connect(owner) as conn:
            conn.execute("insert into private.adoption_decisions values ('payments.status', 'chargeback', 'failed')")
        assert loom("db", "adopt", "--plan", "--database-url", owner).returncode == 0
        supabase("db", "push", "--yes", "--db-url", url, home=tmp_path, cwd=project.parents[1])
        migrate(owner)  # for the job queue
        with connect(owner) as conn:
            assert check(conn) == []


@pytest.mark.parametrize(
    ("name", "text", "told"),
    [
        ("20261123090000_mine.sql", "select 1", "has the number of"),
        ("20271231000000_later.sql", "select 1", "later than Loom's"),
        ("20261101000000_create_base_tables.sql", "select 1", "with another text"),
    ],
)
def test_files_that_would_get_in_one_anothers_way(project: Path, name: str, text: str, told: str) -> None:
    (project / name).write_text(text, "utf-8")
    before = sorted(path.name for path in project.iterdir())
    refused = loom("db", "files", "--into", str(project))
    assert refused.returncode == 1
    assert told in refused.stderr
    assert sorted(path.name for path in project.iterdir()) == before


def test_a_folder_that_is_none(tmp_path: Path) -> None:
    refused = loom("db", "files", "--into", str(tmp_path / "nowhere"))
    assert refused.returncode == 1
    assert "is no folder" in refused.stderr
