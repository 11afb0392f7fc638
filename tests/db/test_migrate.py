"""Migrations: whole or not at all, in order, and never over a database that somebody else has taken further."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any, LiteralString, cast

import psycopg
import pytest

from loom.core.errors import OperatorError
from loom.db.embedded import EmbeddedServer
from loom.db.migrate import NewerDatabase, check_version, migrate, status
from loom.db.schema_files import supabase_dir
from loom.db.statements import split_statements
from tests.support.cluster import Cluster


@pytest.fixture
def empty(cluster: Cluster) -> Iterator[str]:
    """An empty database, without even the platform."""
    name = cluster.create()
    yield name
    cluster.drop(name)


@pytest.fixture
def files(tmp_path: Path) -> Path:
    """A folder like `supabase/` with two small migrations."""
    (tmp_path / "migrations").mkdir()
    (tmp_path / "platform").symlink_to(supabase_dir() / "platform")
    write(tmp_path, "20300101000000_one.sql", "create table public.one (id int);")
    write(tmp_path, "20300102000000_two.sql", "create table public.two (id int); insert into public.two values (1);")
    return tmp_path


def write(root: Path, name: str, text: str) -> None:
    (root / "migrations" / name).write_text(text, "utf-8")


def set_version(conn: psycopg.Connection[Any], version: str) -> None:
    """Says which version of Loom the database is at, as a migration would."""
    conn.execute(
        cast(
            "LiteralString",
            "create or replace function private.schema_version() returns text language sql immutable "
            f"set search_path = '' as $$ select '{version}' $$",
        )
    )


def tables(url: str) -> list[str]:
    with psycopg.connect(url) as conn:
        found = conn.execute(
            "select c.relname from pg_class c where c.relnamespace = 'public'::regnamespace and c.relkind = 'r'"
        ).fetchall()
    return sorted(row[0] for row in found)


def test_each_file_is_applied_once_and_written_down(cluster: Cluster, empty: str, files: Path) -> None:
    url = cluster.url(empty, "postgres")
    assert [migration.name for migration in migrate(url, root=files)] == ["one", "two"]
    assert migrate(url, root=files) == []
    with psycopg.connect(url) as conn:
        rows = conn.execute("select version, name, statements from supabase_migrations.schema_migrations order by 1")
        assert rows.fetchall() == [
            ("20300101000000", "one", ["create table public.one (id int)"]),
            ("20300102000000", "two", ["create table public.two (id int)", "insert into public.two values (1)"]),
        ]
        owners = conn.execute("select distinct tableowner from pg_tables where schemaname = 'public'").fetchall()
        assert owners == [("loom_owner",)]


def test_a_file_that_fails_leaves_the_database_as_it_was(cluster: Cluster, empty: str, files: Path) -> None:
    write(
        files, "20300103000000_three.sql", "create table public.three (id int); insert into public.three values ('x');"
    )
    url = cluster.url(empty, "postgres")
    with pytest.raises(OperatorError, match=r"20300103000000_three\.sql failed.*nothing of it was applied.*invalid"):
        migrate(url, root=files)
    assert tables(url) == ["one", "two"]
    write(files, "20300103000000_three.sql", "create table public.three (id int);")
    assert [migration.name for migration in migrate(url, root=files)] == ["three"]


def test_a_newer_database_is_refused(cluster: Cluster, empty: str, files: Path) -> None:
    url = cluster.url(empty, "postgres")
    migrate(url, root=files)
    with psycopg.connect(url, autocommit=True) as conn:
        conn.execute("create schema private authorization loom_owner")
        set_version(conn, "20300103000000")
        with pytest.raises(NewerDatabase, match=r"it is at 20300103000000"):
            migrate(url, root=files)
        assert status(conn, files).newer == "20300103000000"


def test_migrations_of_the_application_before_are_left_alone(cluster: Cluster, empty: str, files: Path) -> None:
    """Those of another application may be older or newer than Loom's, and there may be more of them later."""
    url = cluster.url(empty, "postgres")
    migrate(url, root=files)
    theirs = ["20250704000001", "20310101000000"]
    with psycopg.connect(url, autocommit=True) as conn:
        for version in theirs:
            conn.execute("insert into supabase_migrations.schema_migrations (version) values (%s)", [version])
        assert migrate(url, root=files) == []
        assert (status(conn, files).foreign, status(conn, files).newer) == (theirs, None)


def test_a_file_that_comes_too_late_is_refused(cluster: Cluster, empty: str, files: Path) -> None:
    url = cluster.url(empty, "postgres")
    migrate(url, root=files)
    write(files, "20300101120000_between.sql", "create table public.between (id int);")
    with pytest.raises(OperatorError, match=r"out of order: 20300101120000"):
        migrate(url, root=files)
    assert tables(url) == ["one", "two"]


def test_two_migrations_at_once_apply_everything_once(cluster: Cluster, empty: str, files: Path) -> None:
    url = cluster.url(empty, "postgres")
    done: list[list[str]] = []

    def run() -> None:
        done.append([migration.name for migration in migrate(url, root=files)])

    both = [threading.Thread(target=run) for _ in range(2)]
    for thread in both:
        thread.start()
    for thread in both:
        thread.join(60)
    assert sorted(done) == [[], ["one", "two"]]


def test_settings_of_one_file_do_not_reach_the_next(cluster: Cluster, empty: str, files: Path) -> None:
    write(files, "20300103000000_three.sql", "set search_path = pg_catalog; set role loom_owner;")
    write(files, "20300104000000_four.sql", "create table four (id int);")
    url = cluster.url(empty, "postgres")
    migrate(url, root=files)
    assert tables(url) == ["four", "one", "two"]


def test_an_owner_who_may_not_make_roles_is_told_what_a_superuser_has_to_run(tmp_path: Path) -> None:
    with EmbeddedServer.start(tmp_path) as server:
        with pytest.raises(OperatorError, match=r"(?s)lacks role anon.*loom_owner may not.*psql -1 .*roles\.sql"):
            migrate(server.url("loom_owner"))
        with psycopg.connect(server.url("postgres")) as conn:
            made = conn.execute("select rolname from pg_roles where rolname in ('anon', 'service_role')").fetchall()
            assert made == []


def test_the_application_tells_an_old_database_from_a_new_one(cluster: Cluster) -> None:
    name = cluster.create(cluster.template())
    try:
        with psycopg.connect(cluster.url(name, "loom_api"), autocommit=True) as conn:
            check_version(conn)
            with psycopg.connect(cluster.url(name), autocommit=True) as owner:
                set_version(owner, "29990101000000")
                with pytest.raises(OperatorError, match="belongs to a newer Loom"):
                    check_version(conn)
                set_version(owner, "20261101000000")
                with pytest.raises(OperatorError, match="not up to date"):
                    check_version(conn)
    finally:
        cluster.drop(name)


@pytest.mark.parametrize(
    ("sql", "statements"),
    [
        ("select 1; select 2;", ["select 1", "select 2"]),
        ("select ';'; select \"a;b\"", ["select ';'", 'select "a;b"']),
        ("select 'it''s;' ; select E'\\';'", ["select 'it''s;'", "select E'\\';'"]),
        ("do $$ begin; end $$; select $x$;$$;$x$", ["do $$ begin; end $$", "select $x$;$$;$x$"]),
        (
            "-- a; comment\nselect 1; /* ; /* ; */ ; */ select 2",
            ["-- a; comment\nselect 1", "/* ; /* ; */ ; */ select 2"],
        ),
        (
            "create function f() returns int begin atomic select case when true then 1 end; select 2; end; select 3",
            [
                "create function f() returns int begin atomic select case when true then 1 end; select 2; end",
                "select 3",
            ],
        ),
        ("select $1; select a$b$c; select 1", ["select $1", "select a$b$c", "select 1"]),
        ("", []),
    ],
)
def test_sql_is_split_where_a_statement_ends(sql: str, statements: list[str]) -> None:
    assert split_statements(sql) == statements
