"""Debian's PostgreSQL 15 and the real Supabase CLI: the same migrations, as an owner who is no superuser."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import LiteralString, cast

import psycopg
import pytest
from psycopg import sql

from loom.db.catalogue import expected_facts, read_facts
from loom.db.migrate import PLATFORM, connect, migrate, migrations, status
from loom.db.schema_files import schema_paths, supabase_dir
from tests.adoption.old_database import legacy_database, read
from tests.schema.test_equality import difference, dump
from tests.schema.test_legacy import ROWS
from tests.support.cluster import Cluster, external_cluster
from tests.support.debian import postgres15

ROOT = supabase_dir().parent
CLI = ROOT / "node_modules" / ".bin" / "supabase"


@pytest.fixture(scope="module")
def old(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Cluster]:
    """A server of version 15."""
    with postgres15(tmp_path_factory.mktemp("debian")) as url, external_cluster(url) as opened:
        yield opened


@pytest.fixture
def app(old: Cluster) -> Iterator[str]:
    """Conninfo of a database whose owner is nobody special, with the platform as a superuser brought it."""
    name = old.create()
    with psycopg.connect(old.superuser, autocommit=True) as conn:
        conn.execute("drop role if exists app")
        conn.execute("create role app login nosuperuser nocreaterole nocreatedb nobypassrls password 'app'")
        conn.execute(sql.SQL("alter database {} owner to app").format(sql.Identifier(name)))
    with psycopg.connect(old.url(name, "postgres")) as conn:
        for part in PLATFORM:
            conn.execute(cast("LiteralString", (supabase_dir() / "platform" / f"{part}.sql").read_text("utf-8")))
    old.passwords["app"] = "app"
    info = psycopg.conninfo.conninfo_to_dict(old.superuser)
    yield f"postgresql://app:app@127.0.0.1:{info['port']}/{name}"
    old.drop(name)
    with psycopg.connect(old.superuser, autocommit=True) as conn:
        conn.execute("drop role app")


def supabase(*arguments: str, home: Path) -> str:
    if not CLI.exists():
        pytest.exit("The Supabase CLI is missing (npm install). scripts/test gets it where Node is.", returncode=1)
    done = subprocess.run(
        [CLI, *arguments],
        cwd=ROOT,
        env={"PATH": os.environ["PATH"], "HOME": str(home), "DO_NOT_TRACK": "1", "SUPABASE_TELEMETRY_DISABLED": "1"},
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout + done.stderr


def test_supabase_db_push_and_loom_db_migrate_may_be_used_in_turn(app: str, tmp_path: Path) -> None:
    url = f"{app}?sslmode=disable"
    supabase("db", "push", "--yes", "--db-url", url, home=tmp_path)
    with psycopg.connect(app) as conn:
        assert status(conn).applied == migrations()
        owners = conn.execute("select distinct tableowner from pg_tables where schemaname = 'public'").fetchall()
        assert owners == [("app",)]
    assert migrate(app) == []  # brings only the queue
    with psycopg.connect(app) as conn:
        assert conn.execute("select private.enqueue('test', '{}') is not null").fetchone() == (True,)
    assert "up to date" in supabase("db", "push", "--yes", "--db-url", url, home=tmp_path)


def test_supabase_db_push_adopts_an_old_database(old: Cluster, app: str, tmp_path: Path) -> None:
    with psycopg.connect(app) as conn:
        conn.execute("set role loom_owner")
        legacy_database(conn)
        conn.execute(read(ROWS))
        # The tables of an old database belong to whoever pushes; here that is app, the owner of the database.
        conn.execute("reset role")
    with psycopg.connect(old.url(psycopg.conninfo.conninfo_to_dict(app)["dbname"], "postgres")) as conn:  # type: ignore[arg-type]
        conn.execute("reassign owned by loom_owner to app")
    supabase("db", "push", "--yes", "--db-url", f"{app}?sslmode=disable", home=tmp_path)
    with psycopg.connect(app) as conn:
        assert status(conn).applied == migrations()
        assert conn.execute("select count(*) from public.coach_clients").fetchone() == (2,)


def test_what_loom_db_migrate_writes_the_supabase_cli_understands(app: str, tmp_path: Path) -> None:
    assert migrate(app) == migrations()
    url = f"{app}?sslmode=disable"
    assert "up to date" in supabase("db", "push", "--yes", "--db-url", url, home=tmp_path)
    listed = supabase("migration", "list", "--db-url", url, home=tmp_path)
    for migration in migrations():
        assert listed.count(migration.version) >= 2, listed


def test_the_books_are_kept_as_the_supabase_cli_keeps_them(old: Cluster, app: str, tmp_path: Path) -> None:
    supabase("db", "push", "--yes", "--db-url", f"{app}?sslmode=disable", home=tmp_path)
    query: LiteralString = "select version, name, statements from supabase_migrations.schema_migrations order by 1"
    with psycopg.connect(app) as conn:
        theirs = conn.execute(query).fetchall()
    name = old.create()
    try:
        migrate(old.url(name, "postgres"))
        with psycopg.connect(old.url(name)) as conn:
            ours = conn.execute(query).fetchall()
    finally:
        old.drop(name)
    assert [row[:2] for row in ours] == [row[:2] for row in theirs]
    for (version, _, mine), (_, _, wanted) in zip(ours, theirs, strict=True):
        assert mine == wanted, version


def test_on_version_15_migrations_and_schema_files_make_the_same_database(old: Cluster) -> None:
    names = (old.create(), old.create())
    for name in names:
        old.platform(name)
    try:
        migrate(old.url(names[0], "postgres"))
        with psycopg.connect(old.url(names[1])) as conn:
            for path in schema_paths():
                conn.execute(cast("LiteralString", path.read_text("utf-8")))
        unlike = difference(dump(old.url(names[1])), dump(old.url(names[0])))
        assert not unlike, "\n".join(unlike)
        with connect(old.url(names[0])) as conn:
            assert read_facts(conn) == expected_facts()
    finally:
        for name in names:
            old.drop(name)
