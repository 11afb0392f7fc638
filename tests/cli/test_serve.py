"""loom serve as an operator meets it: it starts, says what is wrong, and ends without a trace."""

from __future__ import annotations

import asyncio
import gc
import os
import signal
import socket
from pathlib import Path
from typing import Any, cast

import psycopg

from loom.cli.listener import bind
from loom.cli.process import Running, asgi
from loom.core.errors import ExitCode
from loom.core.settings import Settings
from loom.db.database import Database
from loom.db.embedded import EmbeddedServer
from tests.cli.running import loom, running
from tests.db.test_migrate import set_version
from tests.support.cluster import Cluster
from tests.support.processes import alive
from tests.support.proxy import door
from tests.support.waiting import until


def test_ctrl_c_stops_everything(tmp_path: Path) -> None:
    for number in (signal.SIGINT, signal.SIGTERM):
        with running("serve", "--data-dir", str(tmp_path)) as server:
            assert server.get("/ready").status_code == 200
            below = server.children()
            assert below
            server.process.send_signal(number)
            assert server.process.wait(30) == 0
            assert not [pid for pid in below if alive(pid)]
            assert "Traceback" not in server.output()


def test_after_a_kill_it_starts_again_with_its_data(tmp_path: Path) -> None:
    with running("serve", "--data-dir", str(tmp_path)) as server:
        joined = EmbeddedServer.attach(tmp_path)
        assert joined is not None
        with psycopg.connect(joined.url("loom_owner")) as conn:
            conn.execute("create table public.kept (it int)")
        below = server.children()
        os.kill(server.process.pid, signal.SIGKILL)
        server.process.wait(10)
        until(lambda: not [pid for pid in below if alive(pid)], "all children are gone")
    with running("serve", "--data-dir", str(tmp_path)) as server:
        assert server.get("/ready").status_code == 200
        joined = EmbeddedServer.attach(tmp_path)
        assert joined is not None
        with psycopg.connect(joined.url("loom_owner")) as conn:
            assert conn.execute("select count(*) from public.kept").fetchone() == (0,)


def postmaster(folder: Path) -> int:
    """The server's process by its own note; 0 while there is none."""
    try:
        return int((folder / "postgres" / "postmaster.pid").read_text("utf-8").split()[0])
    except (OSError, IndexError):
        return 0


def test_a_postgresql_that_dies_is_started_again(tmp_path: Path) -> None:
    with running("serve", "--data-dir", str(tmp_path)) as server:
        assert server.get("/ready").status_code == 200
        died = postmaster(tmp_path)
        os.kill(died, signal.SIGKILL)
        until(lambda: postmaster(tmp_path) not in {0, died}, "another PostgreSQL starts")
        until(lambda: server.get("/ready").status_code == 200, "the database is back")


def test_a_second_loom_on_the_same_data_folder_is_refused(tmp_path: Path) -> None:
    with running("serve", "--data-dir", str(tmp_path)) as server:
        second = loom("serve", "--data-dir", str(tmp_path), "--port", "0")
        assert second.returncode == 1
        assert f"in use by process {server.process.pid}" in second.stderr
        assert server.get("/ready").status_code == 200


def test_a_port_in_use_is_said_before_anything_starts(tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        refused = loom("serve", "--data-dir", str(tmp_path / "data"), "--port", str(port))
    assert refused.returncode == 1
    assert f"Port {port} on 127.0.0.1 is in use" in refused.stderr
    assert not (tmp_path / "data").exists()


def test_the_data_of_a_newer_loom_is_left_alone(tmp_path: Path) -> None:
    assert loom("db", "migrate", "--data-dir", str(tmp_path)).returncode == 0
    with (
        EmbeddedServer.start(tmp_path) as server,
        psycopg.connect(server.url("loom_owner")) as conn,
    ):
        set_version(conn, "29990101000000")
    for command in (("serve", "--port", "0"), ("db", "migrate")):
        refused = loom(*command, "--data-dir", str(tmp_path))
        assert refused.returncode == ExitCode.NEWER
        assert "belongs to a newer Loom" in refused.stderr
        assert "29990101000000" in refused.stderr


def test_a_database_of_another_version_is_refused_when_given_by_url(cluster: Cluster, tmp_path: Path) -> None:
    name = cluster.create()
    try:
        url = cluster.url(name, "loom_api")
        refused = loom("serve", "--port", "0", LOOM_DATABASE_URL=url, LOOM_DATA_DIR=str(tmp_path))
        assert refused.returncode == 1
        assert "loom db migrate" in refused.stderr
    finally:
        cluster.drop(name)


async def test_a_database_that_goes_away_is_503_and_comes_back_without_a_restart(api_url: str, tmp_path: Path) -> None:

    async with door(api_url) as way:
        url = way.url
        await way.shut()
        start = running("serve", "--database-url", url, "--data-dir", str(tmp_path))
        server = await asyncio.to_thread(start.__enter__)
        try:
            for _ in range(2):
                response = await asyncio.to_thread(server.get, "/ready")
                assert response.status_code == 503
                await way.open()
                ready = await asyncio.to_thread(
                    until, lambda: server.get("/ready").status_code == 200, "the database is found again"
                )
                assert ready
                await way.shut()
        finally:
            await asyncio.to_thread(start.__exit__, None, None, None)


async def test_what_is_there_at_the_start_is_not_looked_through_for_garbage(settings: Settings) -> None:
    # A full collection of the application's objects stops every request for a fifth of a second.
    async def app(_scope: Any, receive: Any, send: Any) -> None:
        while True:
            await send({"type": (await receive())["type"] + ".complete"})

    stop = asyncio.Event()
    stop.set()
    before = gc.get_freeze_count()
    try:
        with bind("127.0.0.1", 0) as listener:
            await asgi(listener, lambda _running: app)(Running(settings, cast("Database", None), stop))
        assert gc.get_freeze_count() > before + 10_000
    finally:
        gc.unfreeze()
