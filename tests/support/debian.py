"""PostgreSQL 15 as Debian packages it: the oldest that Loom works on, and not the embedded one."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import psycopg
import pytest

from loom.db.privileges import choose
from tests.support.waiting import until

PROGRAMS = Path("/usr/lib/postgresql/15/bin")


def require_postgres15() -> None:
    """Ends the run, rather than leave out in silence what this server would have shown."""
    if not (PROGRAMS / "postgres").is_file():
        pytest.exit(
            "PostgreSQL 15 is missing (apt-get install postgresql-15). Run scripts/test as root once to get it.",
            returncode=1,
        )


@contextmanager
def postgres15(folder: Path) -> Iterator[str]:
    """Conninfo of a superuser on a server of its own, on loopback, with passwords."""
    require_postgres15()
    data = folder / "pg15"
    data.mkdir(mode=0o700)
    identity = choose(folder, PROGRAMS / "postgres")
    identity.give(data)
    prepare = identity.preexec(die_with_parent=True)
    with socket.create_server(("127.0.0.1", 0)) as found, tempfile.TemporaryDirectory(prefix="loom-pg15-") as scratch:
        port = found.getsockname()[1]
        identity.give(Path(scratch))
        password = Path(scratch) / "password"
        password.write_text("super", "utf-8")
        password.chmod(0o644)
        env = {"PATH": "/usr/bin:/bin", "LC_ALL": "C.UTF-8"}
        subprocess.run(
            [PROGRAMS / "initdb", "-D", data, "-U", "super", f"--pwfile={password}", "-A", "scram-sha-256", "-N"],
            check=True,
            capture_output=True,
            preexec_fn=prepare,
            cwd="/",
            env=env,
        )
        found.close()
        options = [f"port={port}", f"unix_socket_directories={scratch}", "fsync=off", "listen_addresses=127.0.0.1"]
        log = os.open(folder / "pg15.log", os.O_WRONLY | os.O_CREAT | os.O_APPEND)
        process = subprocess.Popen(
            [PROGRAMS / "postgres", "-D", data, *(part for option in options for part in ("-c", option))],
            stdout=log,
            stderr=log,
            preexec_fn=prepare,  # noqa: PLW1509
            cwd="/",
            env=env,
        )
        os.close(log)
        url = f"postgresql://super:super@127.0.0.1:{port}/postgres"
        try:
            until(lambda: _answers(url), "PostgreSQL 15 answers")
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
