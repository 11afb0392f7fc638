"""Debian's PostgreSQL 15, 17 from npm, and the embedded 18, as an owner who is nobody special."""

from __future__ import annotations

from collections.abc import Iterator

import psycopg
import pytest
from psycopg import sql
from psycopg.conninfo import make_conninfo

from loom.db.adoption.apply import apply_plan
from loom.db.adoption.decisions import Decisions
from loom.db.check import check
from loom.db.migrate import connect
from tests.adoption.cases import Cases
from tests.support.cluster import Cluster, external_cluster
from tests.support.servers import postgres15, postgres17

NONE = Decisions()


@pytest.fixture(scope="module", params=["15", "17", "18"])
def server(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Cases]:
    """Old databases on a server of that version."""
    if request.param == "18":
        cluster: Cluster = request.getfixturevalue("cluster")
        yield (opened := Cases(cluster))
        opened.close()
        return
    start = {"15": postgres15, "17": postgres17}[request.param]
    with start(tmp_path_factory.mktemp(request.param)) as url, external_cluster(url) as other:
        with psycopg.connect(url) as conn:
            assert conn.info.server_version // 10000 == int(request.param)
        yield Cases(other)


@pytest.fixture
def owner(server: Cases) -> Iterator[str]:
    """Login of a role without any privilege, which gets the old application's tables."""
    with psycopg.connect(server.cluster.superuser, autocommit=True) as conn:
        conn.execute("create role app login nosuperuser nocreaterole nocreatedb nobypassrls password 'app'")
        # Whoever hardens a role this way must still be able to adopt.
        conn.execute("alter role app set search_path = ''")
        yield "app"
        # Its database is gone by now; a test that failed leaves nothing behind either.
        conn.execute("reassign owned by app to loom_owner; drop owned by app; drop role app")


@pytest.mark.parametrize("online", [False, True], ids=["whole", "online"])
@pytest.mark.parametrize("kind", ["empty", "dirty"])
def test_an_adopted_database_is_as_a_fresh_one(server: Cases, owner: str, kind: str, online: bool) -> None:
    with server.copy(kind) as name:
        with psycopg.connect(server.cluster.url(name, "postgres"), autocommit=True) as conn:
            # As on a server where a superuser brought the platform and app owns the rest.
            conn.execute("grant select, insert, update, delete, references, trigger on auth.users to app")
            conn.execute("grant usage on schema auth, extensions to app")
            conn.execute("grant create on schema extensions to app")
            conn.execute("reassign owned by loom_owner to app")
            conn.execute(sql.SQL("alter database {} owner to app").format(sql.Identifier(name)))
            conn.execute(
                "alter default privileges for role app in schema public grant all on tables to anon, authenticated"
            )
            conn.execute("grant usage, create on schema public to app")
        url = make_conninfo(server.cluster.superuser, dbname=name, user=owner, password="app")
        proof = apply_plan(url, NONE, online=online)
        assert proof is not None
        assert {item.what: item.rows for item in proof.before} | {"notification_preferences": 0} == {
            item.what: item.rows for item in proof.after
        } | {"notification_preferences": 0}
        with connect(url) as conn:
            assert check(conn) == []
        assert apply_plan(url, NONE, online=online) is None
