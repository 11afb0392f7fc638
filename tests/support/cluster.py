"""A server for the tests, and databases on it: one migrated template, cloned wherever a test needs its own."""

from __future__ import annotations

import os
import secrets
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import LiteralString, cast

import psycopg
from psycopg import sql
from psycopg.conninfo import conninfo_to_dict, make_conninfo

from loom.db.embedded import EmbeddedServer
from loom.db.migrate import PLATFORM, migrate
from loom.db.schema_files import supabase_dir
from tests.support.secret_search import TRAIL

_FAST = {"fsync": "off", "synchronous_commit": "off", "full_page_writes": "off", "autovacuum": "off"}


@dataclass
class Cluster:
    """`superuser` is the conninfo of a superuser's connection to the server's own database."""

    superuser: str
    passwords: dict[str, str]
    _made: list[str] = field(default_factory=list)
    _template: str | None = None

    def url(self, database: str, role: str = "loom_owner") -> str:
        """Conninfo for a role; `postgres` means the superuser whoever it is."""
        if role == "postgres":
            return make_conninfo(self.superuser, dbname=database)
        return make_conninfo(self.superuser, dbname=database, user=role, password=self.passwords[role])

    def create(self, template: str | None = None) -> str:
        """A database of its own name, empty (not even the platform) or a copy of `template`."""
        name = f"loom_test_{os.getpid()}_{secrets.token_hex(4)}"
        owner = sql.SQL("owner loom_owner")
        source = sql.Identifier(template) if template else sql.Identifier("template0")
        with psycopg.connect(self.superuser, autocommit=True) as conn:
            conn.execute(
                sql.SQL("create database {} template {} encoding 'UTF8' {}").format(sql.Identifier(name), source, owner)
            )
        self._made.append(name)
        return name

    def drop(self, name: str) -> None:
        """Drops a database, whoever is still connected, once all that was left in it was searched for secrets."""
        with psycopg.connect(self.superuser, autocommit=True) as conn:
            there = conn.execute(
                "select (select count(pg_terminate_backend(a.pid, 5000)) from pg_stat_activity a where a.datid = d.oid)"
                " from pg_database d where d.datname = %s", [name],
            ).fetchone()  # fmt: skip
            if there:
                TRAIL.search_database(self.url(name, "postgres"), name)
            conn.execute(sql.SQL("drop database if exists {} with (force)").format(sql.Identifier(name)))
        self._made.remove(name)
        TRAIL.check()

    def platform(self, name: str) -> None:
        """Applies supabase/platform, as an operator would."""
        with psycopg.connect(self.url(name, "postgres"), autocommit=True) as conn, conn.transaction():
            for part in PLATFORM:
                conn.execute(cast("LiteralString", (supabase_dir() / "platform" / f"{part}.sql").read_text("utf-8")))

    def template(self) -> str:
        """The database that tests clone, migrated once."""
        if self._template is None:
            name = self.create()
            migrate(self.url(name, "postgres"))
            self._template = name
        return self._template

    def close(self) -> None:
        """Leaves nothing behind on a server that is not ours."""
        for name in list(self._made):
            self.drop(name)


@contextmanager
def open_cluster(folder: Path) -> Iterator[Cluster]:
    """LOOM_TEST_DATABASE_URL (a superuser on any PostgreSQL from 15 on), else an embedded server in `folder`."""
    url = os.environ.get("LOOM_TEST_DATABASE_URL")
    if url is None:
        with EmbeddedServer.start(folder, _FAST) as server:
            roles = ("loom_owner", "loom_api")
            passwords = {role: str(conninfo_to_dict(server.url(role))["password"]) for role in roles}
            yield Cluster(server.url("postgres", "postgres"), passwords)
        return
    with external_cluster(url) as external:
        yield external


@contextmanager
def external_cluster(url: str) -> Iterator[Cluster]:
    """A server that somebody else runs; its databases of ours are dropped at the end."""
    passwords = {"loom_owner": "loom-test", "loom_api": "loom-test"}
    with psycopg.connect(url, autocommit=True) as conn, conn.transaction():
        conn.execute(cast("LiteralString", (supabase_dir() / "platform" / "roles.sql").read_text("utf-8")))
        for role, password in passwords.items():
            conn.execute(sql.SQL("alter role {} login password {}").format(sql.Identifier(role), sql.Literal(password)))
    cluster = Cluster(url, passwords)
    try:
        yield cluster
    finally:
        cluster.close()
